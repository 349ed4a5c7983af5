"""Whether the money of a run suffices for one more trial.

What a trial costs is known when it has ended. Before one starts, what was spent, what those under way are expected to
take in all, and what it is expected to take itself must fit together: so trials side by side end within one trial's
cost of the limit. A trial is expected to take what the dearest one of its run took.

As long as the money would do for all that each trial may take, they start at once. Where it would not and nothing is
known yet, one goes ahead and shows; from there on their number doubles with those that ended, for the cheapest end
first.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio

from autoagent_mcp.config import Config, RunSettings
from autoagent_mcp.gateway.app import Gateway
from autoagent_mcp.gateway.meter import Amount, Meter, Unit
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Usage
from autoagent_mcp.run import judge
from autoagent_mcp.run.allowance import Allowance
from autoagent_mcp.run.spent import Spent

_GO_ON = "Raise it, restart the server and call again: only the trials that are missing are run."


class _Limit(NamedTuple):
    setting: str
    unit: Unit
    most: float
    """From now on; below 0 where more was spent before."""

    @property
    def is_own(self) -> bool:
        """Whether it is the run's, and not the workspace's."""
        return self.setting.startswith("run.")

    def text(self, amount: float) -> str:
        return f"${amount:.4f}" if self.unit == "cost_usd" else f"{amount:.0f} tokens"


class Purse:
    """The money of one run while it goes on.

    Args:
        settings: What every run may take.
        allowance: What the workspace leaves this one.
        earlier: What its trials took before it was broken off, where it was.
        earlier_sec: For how long it had gone on by then.
    """

    def __init__(
        self, settings: RunSettings, allowance: Allowance, earlier: Sequence[Spent] = (), earlier_sec: float = 0.0
    ) -> None:
        self.cut = ""
        """Which limit lets no further trial start; empty while one may."""
        self._limits = _limits(settings, allowance, earlier)
        left_sec = None if allowance.seconds is None else allowance.seconds - earlier_sec
        self._deadline = None if left_sec is None else anyio.current_time() + left_sec
        self._dearest = Amount()
        self._known_trials = len(earlier)
        self._usage = Usage()
        for one in earlier:
            self._usage += one.total
            self._dearest = self._dearest.or_more(one.amount)
        self._ended = Amount()
        """What the trials took that ended since then."""
        self._under_way: list[Meter] = []
        self._changed = anyio.Event()

    @property
    def spent(self) -> Usage:
        """What the run took, before it was broken off too; calls under way are not in it."""
        return sum((meter.spent for meter in self._under_way), self._usage)

    @asynccontextmanager
    async def trial(self, most: Amount) -> AsyncGenerator[Meter | None]:
        """Wait until one more trial fits, and count it until the context is left; None where none fits any more.

        Args:
            most: What a trial of this run may take by its own limits, as far as prices are known.
        """
        while not self.cut and (lacking := self._lacking(most)):
            if self._under_way:
                await self._changed.wait()
            else:
                self.cut = lacking
        if self.cut:
            yield None
            return
        meter = Meter()
        self._under_way.append(meter)
        try:
            yield meter
        finally:
            self._end(meter)

    def _end(self, meter: Meter) -> None:
        self._under_way.remove(meter)
        self._usage += meter.spent
        self._ended = self._ended.plus(meter.committed)
        self._dearest = self._dearest.or_more(meter.committed)
        self._known_trials += 1
        self._changed.set()
        self._changed = anyio.Event()

    def _lacking(self, most: Amount) -> str:
        """Say what one more trial does not fit in; empty where it fits."""
        if self._deadline is not None and anyio.current_time() >= self._deadline:
            return f"budget.max_hours in autoagent.toml is used up. {_GO_ON}"
        return next((self._refusal(limit) for limit in self._limits if not self._fits(limit, most)), "")

    def _fits(self, limit: _Limit, most: Amount) -> bool:
        left = self._left(limit)
        if self._taken(limit, most.of(limit.unit)) <= left:
            return True
        count = len(self._under_way)
        if not self._known_trials:
            return count == 0 and left > 0
        return count < 2 * self._known_trials and self._taken(limit, self._expected(limit)) <= left

    def _left(self, limit: _Limit) -> float:
        return limit.most - self._ended.of(limit.unit)

    def _expected(self, limit: _Limit) -> float:
        """Return what a trial is expected to take: one under way may already have taken more than those that ended."""
        spent = (meter.amount.of(limit.unit) for meter in self._under_way)
        return max(self._dearest.of(limit.unit), *spent, 0)

    def _taken(self, limit: _Limit, expected: float) -> float:
        """Return what those under way and one more take together, where each takes so much, or what it already has."""
        under_way = (meter.committed.of(limit.unit) for meter in self._under_way)
        return sum(max(expected, amount) for amount in under_way) + expected

    def _refusal(self, limit: _Limit) -> str:
        expected = f"a trial takes up to {limit.text(self._expected(limit))}"
        # What is left of the workspace's budget would tell what the hidden tasks took.
        why = f"{limit.text(max(0.0, self._left(limit)))} of it are left, and {expected}" if limit.is_own else expected
        return f"{limit.setting} in autoagent.toml leaves no room for another trial: {why}. {_GO_ON}"


def _limits(settings: RunSettings, allowance: Allowance, earlier: Sequence[Spent]) -> tuple[_Limit, ...]:
    cost_usd = sum(one.amount.cost_usd for one in earlier)
    tokens = sum(one.amount.tokens for one in earlier)
    found: list[_Limit] = []
    for table, max_cost_usd, max_tokens in (
        ("run", settings.max_cost_usd, settings.max_tokens),
        ("budget", allowance.cost_usd, allowance.tokens),
    ):
        if max_cost_usd is not None:
            found.append(_Limit(f"{table}.max_cost_usd", "cost_usd", max_cost_usd - cost_usd))
        if max_tokens is not None:
            found.append(_Limit(f"{table}.max_tokens", "tokens", max_tokens - tokens))
    return tuple(found)


def most_of_trial(tasks: Sequence[Task], config: Config, gateway: Gateway, *, has_harness: bool) -> Amount:
    """Return what a trial of these tasks may take by its own limits, as far as prices are known."""
    most = Amount()
    if has_harness:
        most = Amount(gateway.most_usd(config.trial) or 0.0, config.trial.max_tokens)
    verifications = max((sum(judge.is_asked(step) for step in task.steps) for task in tasks), default=0)
    if config.judge is not None and verifications:
        limits = config.judge.budget.times(verifications)
        most = most.plus(Amount(gateway.most_usd_of_judge(limits) or 0.0, limits.max_tokens))
    return most


def unpriced(config: Config, gateway: Gateway, allowance: Allowance) -> tuple[str, ...]:
    """Tell, where dollars are limited, which model's price is not known, so that only its tokens can be."""
    if config.run.max_cost_usd is None and allowance.cost_usd is None:
        return ()
    models = [(config.model.name, gateway.most_usd(config.trial))]
    if config.judge is not None:
        models.append((config.judge.name, gateway.most_usd_of_judge(config.judge.budget)))
    return tuple(
        f"The price of {name} is not known: limits in dollars are not kept for it, run.max_tokens and "
        "budget.max_tokens are."
        for name, most_usd in models
        if most_usd is None
    )
