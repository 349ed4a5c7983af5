"""What a trial, or a verification, may still spend.

Calls under way are counted as well: a call that might not fit beside them waits until they have ended, so that calls
side by side overshoot by no more than one alone could.
"""

from __future__ import annotations

import re

import anyio

from autoagent_mcp.config import Spending
from autoagent_mcp.gateway.api import Api, JsonObject, RefusedError, Tokens
from autoagent_mcp.gateway.prices import Price
from autoagent_mcp.gateway.role import Role
from autoagent_mcp.models.trial import Failure, FailureCause

USUAL_OUTPUT_TOKENS = 4096
"""What a call that sets no limit is taken to answer, while it is under way."""

_SHORTEST_OUTPUT_TOKENS = 16

_BYTES_PER_TOKEN = 4
_OPAQUE = re.compile(rb'"(?:data:[^"]{1024,}|[A-Za-z0-9+/=]{1024,})"')


class OutOfBudgetError(RefusedError):
    """A call beyond the session's budget."""

    def __init__(self, cause: FailureCause, message: str) -> None:
        super().__init__(400, cause.value, message)
        self.failure = Failure(cause=cause, detail=message)


class Budget:
    """The model calls, tokens and dollars of one session."""

    def __init__(self, limits: Spending, price: Price, role: Role) -> None:
        self._limits = limits
        self._price = price
        self._role = role
        self.calls = 0
        self._tokens = 0
        self._cost_usd = 0.0
        self._reserved: list[Tokens] = []
        self._freed = anyio.Event()

    async def admit(self, api: Api, body: JsonObject, raw: bytes) -> Tokens:
        """Let a call in, wait for others to end, or refuse it; bounds the answer's length in `body`.

        Returns:
            What is set aside for the call; give it back with `settle`.

        Raises:
            OutOfBudgetError: No turn, no token or no money is left.
        """
        prompt = estimated_tokens(raw)
        while True:
            self._refuse_if_spent()
            wish = Tokens(prompt, api.output_limit(body) or USUAL_OUTPUT_TOKENS)
            if not self._reserved or self._fits(wish):
                break
            await self._freed.wait()
        least = api.least_output(body)
        others = self._in_flight()
        left = self._limits.max_tokens - self._tokens - others.prompt - others.completion
        most = max(left - prompt, _SHORTEST_OUTPUT_TOKENS)
        if most < least:
            text = f"{self._role.who} has {left} tokens left, too few for the thinking that the request asks for"
            raise OutOfBudgetError(self._role.out_of_budget, text)
        if most < wish.completion:
            api.bound_output(body, most)
        self.calls += 1
        share = Tokens(prompt, min(most, wish.completion))
        self._reserved.append(share)
        return share

    def settle(self, share: Tokens, spent: Tokens, cost_usd: float | None) -> None:
        """Replace what was set aside by what was spent."""
        self._reserved.remove(share)
        self._tokens += spent.prompt + spent.completion
        self._cost_usd += cost_usd or 0.0
        self._freed.set()
        self._freed = anyio.Event()

    def _fits(self, wish: Tokens) -> bool:
        others = self._in_flight()
        together = Tokens(others.prompt + wish.prompt, others.completion + wish.completion)
        tokens = self._tokens + together.prompt + together.completion
        cost = self._cost_usd + (self._price(together) or 0.0)
        return tokens <= self._limits.max_tokens and cost <= self._limits.max_cost_usd

    def _in_flight(self) -> Tokens:
        return Tokens(sum(item.prompt for item in self._reserved), sum(item.completion for item in self._reserved))

    def _refuse_if_spent(self) -> None:
        limits, role = self._limits, self._role
        if self.calls >= limits.max_turns:
            text = f"{role.who} has made all of its {limits.max_turns} model calls"
            raise OutOfBudgetError(role.out_of_turns, text)
        if self._tokens + _SHORTEST_OUTPUT_TOKENS > limits.max_tokens:
            text = f"{role.who} has used {self._tokens} of its {limits.max_tokens} tokens"
            raise OutOfBudgetError(role.out_of_budget, text)
        if self._cost_usd >= limits.max_cost_usd:
            text = f"{role.who} has used {self._cost_usd:.4f} of its {limits.max_cost_usd:.4f} US dollars"
            raise OutOfBudgetError(role.out_of_budget, text)


def estimated_tokens(raw: bytes) -> int:
    """Guess the tokens of a request from its text, four bytes each; what it carries in base64 is left out."""
    opaque = sum(len(match) for match in _OPAQUE.findall(raw))
    return (len(raw) - opaque) // _BYTES_PER_TOKEN
