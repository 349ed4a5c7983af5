"""One more trial starts where it still fits beside those under way."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from autoagent_mcp.config import BudgetSettings, RunSettings
from autoagent_mcp.gateway.meter import Amount, Meter
from autoagent_mcp.models.trial import Usage
from autoagent_mcp.run.allowance import Allowance, allowance, left_text, refusal
from autoagent_mcp.run.purse import Purse
from autoagent_mcp.run.spent import Spent

A_DOLLAR = RunSettings(max_cost_usd=1.0)
A_CENT = Usage(model_calls=1, prompt_tokens=10, cost_usd=0.01)
A_DIME = [Spent(usage=Usage(model_calls=1, prompt_tokens=100, cost_usd=0.1), judge_usage=Usage())]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Waiting:
    """Trials that each ask to start, and end when told."""

    def __init__(self, purse: Purse, group: anyio.abc.TaskGroup, most: Amount) -> None:
        self._purse, self._group, self._most = purse, group, most
        self.running: list[Meter] = []
        self.refused = 0
        self._ends: dict[int, anyio.Event] = {}

    async def ask(self, number: int) -> None:
        """Let so many ask at once, and wait until each has started, was refused or waits."""
        for _ in range(number):
            self._group.start_soon(self._one)
        await anyio.wait_all_tasks_blocked()

    async def end(self, meter: Meter, spent: Usage) -> None:
        """Let a trial that has taken so much end."""
        meter.set_aside(spent)
        meter.settle(spent, spent)
        self._ends[id(meter)].set()
        await anyio.wait_all_tasks_blocked()

    async def _one(self) -> None:
        async with self._purse.trial(self._most) as meter:
            if meter is None:
                self.refused += 1
                return
            self.running.append(meter)
            self._ends[id(meter)] = anyio.Event()
            await self._ends[id(meter)].wait()
            self.running.remove(meter)


@asynccontextmanager
async def waiting(purse: Purse, most_usd: float) -> AsyncGenerator[Waiting]:
    async with anyio.create_task_group() as group:
        yield Waiting(purse, group, Amount(cost_usd=most_usd, tokens=1000))
        group.cancel_scope.cancel()


def cost(usd: float) -> Usage:
    return Usage(model_calls=1, completion_tokens=10, cost_usd=usd)


async def test_without_limits_all_start() -> None:
    async with waiting(Purse(RunSettings(), Allowance()), most_usd=5) as trials:
        await trials.ask(40)
        assert len(trials.running) == 40


async def test_with_money_for_the_most_that_each_may_take_they_start_at_once() -> None:
    async with waiting(Purse(A_DOLLAR, Allowance()), most_usd=0.0625) as trials:
        await trials.ask(40)
        assert (len(trials.running), trials.refused) == (16, 0)


async def test_one_goes_ahead_where_nothing_is_known_and_the_others_follow_step_by_step() -> None:
    purse = Purse(A_DOLLAR, Allowance())
    async with waiting(purse, most_usd=5) as trials:
        await trials.ask(40)
        assert len(trials.running) == 1
        await trials.end(trials.running[0], cost(0.01))
        assert len(trials.running) == 2
        await trials.end(trials.running[0], cost(0.3))
        assert len(trials.running) == 2  # the next one may be as dear
        await trials.end(trials.running[0], cost(0.3))
        assert len(trials.running) == 1
        await trials.end(trials.running[0], cost(0.3))
        assert (len(trials.running), trials.refused) == (0, 36)
        assert purse.cut.startswith(
            "run.max_cost_usd in autoagent.toml leaves no room for another trial: $0.0900 of it are left, and a trial "
            "takes up to $0.3000."
        )
        assert purse.spent == cost(0.01) + cost(0.3) + cost(0.3) + cost(0.3)


async def test_how_much_is_left_of_the_workspaces_budget_is_not_told_as_hidden_tasks_took_of_it() -> None:
    purse = Purse(RunSettings(), Allowance(cost_usd=1.6), [Spent(usage=cost(0.9), judge_usage=Usage())])
    async with waiting(purse, most_usd=5) as trials:
        await trials.ask(1)
        assert trials.refused == 1
    assert "budget.max_cost_usd" in purse.cut
    assert not any(amount in purse.cut for amount in ("0.7", "1.6"))


async def test_money_in_flight_counts_until_it_is_spent() -> None:
    purse = Purse(RunSettings(max_cost_usd=1.125), Allowance(), A_DIME)
    async with waiting(purse, most_usd=5) as trials:
        await trials.ask(1)
        first = trials.running[0]
        first.set_aside(cost(0.95))
        await trials.ask(1)
        assert trials.running == [first]
        first.settle(cost(0.95), cost(0.2))
        await trials.end(first, cost(0.0))
        assert len(trials.running) == 1
        assert trials.running != [first]


async def test_what_a_trial_under_way_has_taken_is_expected_of_the_next() -> None:
    async with waiting(Purse(RunSettings(max_cost_usd=1.125), Allowance(), A_DIME), most_usd=5) as trials:
        await trials.ask(1)
        trials.running[0].set_aside(cost(0.6))
        trials.running[0].settle(cost(0.6), cost(0.6))
        await trials.ask(1)
        assert len(trials.running) == 1


async def test_what_was_taken_before_it_was_broken_off_counts() -> None:
    earlier = [Spent(usage=cost(0.25), judge_usage=cost(0.25))]
    for settings, left, refused in (
        (RunSettings(max_cost_usd=1.0), Allowance(), 0),
        (RunSettings(max_cost_usd=0.99), Allowance(), 1),
        (RunSettings(), Allowance(cost_usd=1.0), 0),
        (RunSettings(), Allowance(cost_usd=0.99), 1),
        (RunSettings(max_tokens=39), Allowance(), 1),
        (RunSettings(), Allowance(seconds=1000), 0),
        (RunSettings(), Allowance(seconds=60), 1),
    ):
        async with waiting(Purse(settings, left, earlier, earlier_sec=60), most_usd=5) as trials:
            await trials.ask(1)
            assert trials.refused == refused, (settings, left)


async def test_each_limit_is_named() -> None:
    for settings, left, name in (
        (RunSettings(max_tokens=150), Allowance(), "run.max_tokens"),
        (RunSettings(), Allowance(tokens=150), "budget.max_tokens"),
        (RunSettings(), Allowance(cost_usd=0.15), "budget.max_cost_usd"),
        (RunSettings(), Allowance(seconds=0.0), "budget.max_hours"),
    ):
        purse = Purse(settings, left, A_DIME)
        async with waiting(purse, most_usd=5) as trials:
            await trials.ask(3)
            assert trials.refused == 3
        assert purse.cut.startswith(f"{name} in autoagent.toml")


def test_what_the_workspace_leaves() -> None:
    budget = BudgetSettings(max_experiments=5, max_cost_usd=2.0, max_tokens=1000, max_hours=8)
    left = allowance(budget, spent=Usage(prompt_tokens=100, cost_usd=0.5), experiments=5, hours=7.5)
    assert left == Allowance(cost_usd=1.5, tokens=900, seconds=1800, experiments=0)
    assert left_text(left) == "Left of the budget: 0 experiments, $1.50, 900 tokens, 0.5 hours of runs."
    assert refusal(left, is_new_experiment=False) == ""
    assert "budget.max_experiments in autoagent.toml" in refusal(left, is_new_experiment=True)
    spent_all = allowance(budget, spent=Usage(prompt_tokens=1000, cost_usd=None), experiments=1, hours=9)
    assert spent_all.cost_usd == 2.0
    assert "budget.max_tokens and budget.max_hours" in refusal(spent_all, is_new_experiment=False)
    unlimited = allowance(BudgetSettings(), spent=A_CENT, experiments=9, hours=9)
    assert (unlimited, left_text(unlimited), refusal(unlimited, is_new_experiment=True)) == (Allowance(), "", "")
