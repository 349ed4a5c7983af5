"""Why tasks fail, by the cause that the server saw. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.trial import Trial

WRONG_ANSWER = "wrong answer by the verifier"
"""Of a trial that went its whole way."""


class FailingTask(Frozen):
    """A task that fails for one cause."""

    name: str
    failed: int
    """How many of its trials failed so."""
    trials: int


class Cause(Frozen):
    """Tasks that fail for the same cause; one that fails for several is in each."""

    name: str
    tasks: tuple[FailingTask, ...]
    """Those that fail so most often first."""


def by_cause(trials: Iterable[Trial]) -> tuple[Cause, ...]:
    """Group what did not pass by its cause, the cause of most tasks first; what measured nothing is left out."""
    attempts: Counter[str] = Counter()
    failed: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for trial in trials:
        if trial.counts and not trial.is_impossible:
            attempts[trial.task] += 1
            if not trial.passed:
                failed[_cause(trial)][trial.task] += 1
    causes = (Cause(name=name, tasks=_tasks(counts, attempts)) for name, counts in failed.items())
    return tuple(sorted(causes, key=lambda cause: (-len(cause.tasks), cause.name)))


def _cause(trial: Trial) -> str:
    return trial.failure.cause.value.replace("_", " ") if trial.failure else WRONG_ANSWER


def _tasks(failed: Counter[str], attempts: Counter[str]) -> tuple[FailingTask, ...]:
    ordered = sorted(failed.items(), key=lambda item: (-item[1], item[0]))
    return tuple(FailingTask(name=name, failed=count, trials=attempts[name]) for name, count in ordered)
