"""What a trial's model calls have taken and may still take, its harness's and its verifiers' together."""

from __future__ import annotations

from typing import Literal, NamedTuple

from autoagent_mcp.models.trial import Usage

Unit = Literal["cost_usd", "tokens"]


class Amount(NamedTuple):
    """Money and tokens, to be held against a limit."""

    cost_usd: float = 0.0
    """As far as prices are known."""
    tokens: int = 0
    """Of prompts and completions together."""

    def of(self, unit: Unit) -> float:
        """Return one of the two."""
        return self.cost_usd if unit == "cost_usd" else self.tokens

    def plus(self, other: Amount) -> Amount:
        """Return both together."""
        return Amount(self.cost_usd + other.cost_usd, self.tokens + other.tokens)

    def or_more(self, other: Amount) -> Amount:
        """Return the larger of each."""
        return Amount(max(self.cost_usd, other.cost_usd), max(self.tokens, other.tokens))


def amount_of(usage: Usage) -> Amount:
    """Return what calls of one price took; a cost that is unknown is left out."""
    return Amount(usage.cost_usd or 0.0, usage.tokens)


class Meter:
    """Counts the calls of the sessions that share it, those under way by what is set aside for them."""

    def __init__(self) -> None:
        self.spent = Usage()
        """Of the calls that ended."""
        self.amount = Amount()
        """The same, as far as prices are known."""
        self._under_way: list[Usage] = []

    @property
    def committed(self) -> Amount:
        """What was spent, and what is set aside for the calls under way."""
        total = self.amount
        for usage in self._under_way:
            total = total.plus(amount_of(usage))
        return total

    def set_aside(self, reserved: Usage) -> None:
        """Count a call that goes out."""
        self._under_way.append(reserved)

    def settle(self, reserved: Usage, spent: Usage) -> None:
        """Replace what was set aside for a call by what it took."""
        self._under_way.remove(reserved)
        self.spent += spent
        self.amount = self.amount.plus(amount_of(spent))
