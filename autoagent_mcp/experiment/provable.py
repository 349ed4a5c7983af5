"""What a decision in this workspace is worth, in words: how small a gain can be proven, and what that takes. Pure."""

from __future__ import annotations

from autoagent_mcp.experiment.duel import few_tasks
from autoagent_mcp.experiment.power import suite_power

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
    here, twice = (_text(count, round(pass_rate, 2), trial_cost_usd) for count in (tasks, 2 * tasks))
    told = "The smallest gain in the pass rate that keep_change shows in 8 of 10 cases is"
    return f"{told}, in this suite of {tasks}, {here}; in one of {2 * tasks}, {twice}. {few_tasks(tasks)}".rstrip()


def _text(tasks: int, pass_rate: float, trial_cost_usd: float | None) -> str:
    found = suite_power(tasks, pass_rate)
    points = found.smallest_effect_points
    money = "at unknown cost" if trial_cost_usd is None else f"about ${found.trials * trial_cost_usd:.2f}"
    return f"{'none' if points is None else f'{points:.1f} points'}, for up to {found.trials} trials ({money})"
