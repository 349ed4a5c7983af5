"""What a job's trials add up to, by Harbor's formulas. Pure.

One thing differs: a trial that measured nothing is in no mean and in no pass@k, where Harbor counts it as 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, takewhile
from math import comb

from autoagent_mcp.export.documents import EvalStats, JobStats, TrialResult
from autoagent_mcp.models.trial import Trial, Usage


def job_stats(results: Sequence[tuple[Trial, TrialResult]], evals_key: str, planned: int) -> JobStats:
    """Add up a job.

    Args:
        results: The trials that ended, with what is written of them.
        evals_key: `<agent>__<model>__<dataset>`.
        planned: How many trials there were to be.
    """
    names = [result.exception_info.exception_type for _, result in results if result.exception_info]
    usage = sum((trial.usage for trial, _ in results), Usage())
    return JobStats(
        n_completed_trials=len(results),
        n_errored_trials=len(names),
        n_pending_trials=planned - len(results),
        n_cancelled_trials=names.count("CancelledError"),
        n_retries=sum(trial.retried is not None for trial, _ in results),
        evals={evals_key: _eval_stats(results)} if results else {},
        n_input_tokens=usage.prompt_tokens,
        n_cache_tokens=usage.cached_tokens,
        n_output_tokens=usage.completion_tokens,
        cost_usd=usage.cost_usd,
    )


def _eval_stats(results: Sequence[tuple[Trial, TrialResult]]) -> EvalStats:
    by_reward: defaultdict[str, defaultdict[float, list[str]]] = defaultdict(lambda: defaultdict(list))
    by_exception: defaultdict[str, list[str]] = defaultdict(list)
    for _, result in results:
        for key, value in (result.verifier_result.rewards if result.verifier_result else {}).items():
            by_reward[key][value].append(result.trial_name)
        if result.exception_info:
            by_exception[result.exception_info.exception_type].append(result.trial_name)
    measured = [trial for trial, _ in results if trial.counts]
    return EvalStats(
        n_trials=sum(result.verifier_result is not None for _, result in results),
        n_errors=sum(len(trials) for trials in by_exception.values()),
        metrics=(_mean([trial.rewards for trial in measured]),) if measured else (),
        pass_at_k=_pass_at_k(measured),
        reward_stats={
            key: {value: tuple(trials) for value, trials in values.items()} for key, values in by_reward.items()
        },
        exception_stats={name: tuple(trials) for name, trials in by_exception.items()},
    )


def _mean(rewards: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """One key is named after the metric, several keep their names (`harbor.metrics.base`)."""
    keys = sorted({key for one in rewards for key in one})
    if len(keys) <= 1:
        return {"mean": sum(sum(one.values()) for one in rewards) / len(rewards)}
    return {key: sum(one.get(key, 0.0) for one in rewards) / len(rewards) for key in keys}


def _pass_at_k(trials: Sequence[Trial]) -> dict[int, float]:
    """The unbiased estimate, where every trial has at most one reward and that is 0 or 1 (`harbor.utils.pass_at_k`)."""
    if any(len(trial.rewards) > 1 or trial.reward not in {0, 1} for trial in trials):
        return {}
    tasks: defaultdict[str, list[bool]] = defaultdict(list)
    for trial in trials:
        tasks[trial.task].append(trial.reward == 1)
    least = min((len(passed) for passed in tasks.values()), default=0)
    return {k: sum(_chance(passed, k) for passed in tasks.values()) / len(tasks) for k in _sizes(least)}


def _sizes(most: int) -> list[int]:
    def up_to(step: Callable[[int], int]) -> Iterator[int]:
        return takewhile(lambda k: k <= most, map(step, count(1)))

    return sorted({*up_to(lambda n: 2**n), *up_to(lambda n: 5 * n)})


def _chance(passed: Sequence[bool], k: int) -> float:
    return 1.0 - comb(passed.count(False), k) / comb(len(passed), k)
