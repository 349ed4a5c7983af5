"""What the workspace's budget leaves: for a run, for its brief, and why no run may start. Pure."""

from __future__ import annotations

from autoagent_mcp.config import BudgetSettings
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.trial import Usage

_SEC_PER_HOUR = 3600.0
_RAISE = "Raise it and restart the server to go on."


class Allowance(Frozen):
    """What the workspace leaves, to a run in all that it takes; None where there is no limit."""

    cost_usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    experiments: int | None = None
    """How many more may begin."""


def allowance(budget: BudgetSettings, *, spent: Usage, experiments: int, hours: float) -> Allowance:
    """Return what is left of a workspace's budget, below 0 where more was taken.

    Args:
        budget: The settings.
        spent: By all runs (`Run.spent`), for a run's own allowance by all others; an unknown cost is taken as 0.
        experiments: How many have begun.
        hours: In which the same runs went on (`Run.duration_sec`), added up.
    """
    return Allowance(
        cost_usd=None if budget.max_cost_usd is None else budget.max_cost_usd - (spent.cost_usd or 0.0),
        tokens=None if budget.max_tokens is None else budget.max_tokens - spent.tokens,
        seconds=None if budget.max_hours is None else (budget.max_hours - hours) * _SEC_PER_HOUR,
        experiments=None if budget.max_experiments is None else budget.max_experiments - experiments,
    )


def refusal(left: Allowance, *, is_new_experiment: bool) -> str:
    """Say which limit lets no run start; empty where one may."""
    used_up = {
        "max_cost_usd": left.cost_usd is not None and left.cost_usd <= 0,
        "max_tokens": left.tokens is not None and left.tokens <= 0,
        "max_hours": left.seconds is not None and left.seconds <= 0,
        "max_experiments": is_new_experiment and left.experiments is not None and left.experiments <= 0,
    }
    names = [f"budget.{name}" for name, is_used_up in used_up.items() if is_used_up]
    return f"The budget is used up: {' and '.join(names)} in autoagent.toml. {_RAISE}" if names else ""


def left_text(left: Allowance) -> str:
    """Say what is left, for people; empty where nothing is limited."""
    parts = [
        "" if left.experiments is None else f"{max(0, left.experiments)} experiments",
        "" if left.cost_usd is None else f"${max(0.0, left.cost_usd):.2f}",
        "" if left.tokens is None else f"{max(0, left.tokens)} tokens",
        "" if left.seconds is None else f"{max(0.0, left.seconds) / _SEC_PER_HOUR:.1f} hours of runs",
    ]
    told = ", ".join(part for part in parts if part)
    return f"Left of the budget: {told}." if told else ""
