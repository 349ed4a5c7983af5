"""What a decision in this workspace is worth, in words: how small a gain can be proven, and what that takes. Pure."""

from __future__ import annotations

from functools import lru_cache

from autoagent_mcp.experiment.duel import few_tasks
from autoagent_mcp.experiment.evidence import threshold_for
from autoagent_mcp.experiment.power import Power, power

SEED_RULE = (
    'Under rule = "seed" one run decides. Of an agent that answers differently each time that is worth little: by luck '
    "alone a harness that is no better passes more trials in up to nearly every second run."
)


def provable(tasks: int, *, pass_rate: float, trial_cost_usd: float | None) -> str:
    """Say how small a gain fresh trials can prove here, what they take, and the same for twice the tasks.

    Args:
        tasks: Visible tasks.
        pass_rate: The baseline's, from 0 to 1.
        trial_cost_usd: Of one of its trials; None where the price is not known.
    """
    rate = round(pass_rate, 2)  # nearly the same answer, reckoned once
    here, twice = _power(tasks, rate), _power(2 * tasks, rate)
    told = f"With these {tasks} tasks keep_change shows {_text(here, trial_cost_usd)}; with {2 * tasks} it would show "
    return f"{told}{_text(twice, trial_cost_usd)}. {few_tasks(tasks)}".rstrip()


def _text(found: Power, trial_cost_usd: float | None) -> str:
    takes = f"{found.trials} trials ({_money(found, trial_cost_usd)})"
    if found.smallest_effect_points is None:
        return f"no gain reliably, in up to {takes}"
    return f"a gain of {found.smallest_effect_points:.0f} points of the pass rate in 8 of 10 cases, in up to {takes}"


def _money(found: Power, trial_cost_usd: float | None) -> str:
    return "at unknown cost" if trial_cost_usd is None else f"about ${found.trials * trial_cost_usd:.2f}"


@lru_cache(maxsize=64)
def _power(tasks: int, pass_rate: float) -> Power:
    return power(tasks, threshold=threshold_for(tasks), pass_rate=pass_rate)
