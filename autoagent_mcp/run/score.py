"""What trials add up to. Pure: no clock, no disk, no sandbox."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from autoagent_mcp.models.run import Run, Score, TaskScore
from autoagent_mcp.models.trial import Arm, Trial, Usage


def score(trials: Sequence[Trial]) -> Score:
    """Add up a run's trials.

    `passed` counts trials, so that a run with several attempts per task resolves more. A trial that measured nothing is
    counted as `unmeasured` and is in no mean: it is never a 0. Trials of tasks that cannot be solved are in nothing but
    the usage.
    """
    scored = [trial for trial in trials if not trial.is_impossible]
    by_task: defaultdict[str, list[Trial]] = defaultdict(list)
    for trial in scored:
        by_task[trial.task].append(trial)
    return Score(
        trials=len(scored),
        passed=sum(trial.passed for trial in scored),
        unmeasured=sum(not trial.counts for trial in scored),
        avg_score=_mean_reward(scored),
        tasks=tuple(_task_score(task, by_task[task]) for task in sorted(by_task)),
        usage=_usage(trials),
    )


def arms_of(run: Run) -> dict[Arm, Score]:
    """Add up the trials of each arm of a run."""
    return {arm: score([trial for trial in run.trials if trial.arm is arm]) for arm in Arm}


def _task_score(task: str, trials: Sequence[Trial]) -> TaskScore:
    return TaskScore(
        task=task,
        attempts=len(trials),
        passed=sum(trial.passed for trial in trials),
        unmeasured=sum(not trial.counts for trial in trials),
        avg_reward=_mean_reward(trials),
        cost_usd=_cost_usd(trials),
        duration_sec=sum(trial.duration_sec for trial in trials),
    )


def _mean_reward(trials: Iterable[Trial]) -> float | None:
    rewards = [trial.reward or 0.0 for trial in trials if trial.counts]
    return sum(rewards) / len(rewards) if rewards else None


def _usage(trials: Sequence[Trial]) -> Usage:
    return Usage(
        model_calls=sum(trial.usage.model_calls for trial in trials),
        prompt_tokens=sum(trial.usage.prompt_tokens for trial in trials),
        completion_tokens=sum(trial.usage.completion_tokens for trial in trials),
        cached_tokens=sum(trial.usage.cached_tokens for trial in trials),
        cost_usd=_cost_usd(trials),
    )


def _cost_usd(trials: Sequence[Trial]) -> float | None:
    """Add up what they cost; None where the price of one is unknown."""
    costs = [trial.usage.cost_usd for trial in trials]
    return None if None in costs else sum(cost or 0.0 for cost in costs)
