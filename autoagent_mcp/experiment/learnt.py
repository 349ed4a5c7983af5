"""What a workspace's experiments teach: what to try no more, what nearly worked, what tends to be kept. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.experiment import ChangeKind, Decision, Experiment, Forecast, Outcome

SEVERAL = "several"
"""The kind of a change that is of more than one."""
_LESSONS = 8
_NEAR_MISSES = 3
_DROPPED = {Decision.REVERT, Decision.CRASH}


class Lesson(Frozen):
    """Why a change was not kept."""

    experiment: int
    """The newest that taught it."""
    kind: str
    text: str
    others: int
    """How many experiments before it taught the same."""


class NearMiss(Frozen):
    """A change that was not kept and yet fixed what the incumbent still fails."""

    experiment: int
    fixed: tuple[str, ...]
    broken: tuple[str, ...]
    evidence: float | None
    """None where its only run was its first."""


class KeepRate(Frozen):
    """How often changes of a kind were kept."""

    kind: str
    kept: int
    tried: int


class Hits(Frozen):
    """Predictions of one way for a task to change, added up."""

    expected: int
    happened: int
    hits: int


class Calibration(Frozen):
    """How good the predictions were."""

    runs: int
    fixed: Hits
    broken: Hits


class Learnt(Frozen):
    """All of it."""

    lessons: tuple[Lesson, ...]
    """Newest first."""
    near_misses: tuple[NearMiss, ...]
    """The best first."""
    keep_rates: tuple[KeepRate, ...]
    calibration: Calibration


def learn(experiments: Sequence[Experiment], failing: Collection[str]) -> Learnt:
    """Read the experiments.

    Args:
        experiments: All of them, oldest first.
        failing: What the incumbent does not always pass.
    """
    over = [one for one in experiments if _is_over(one, newest=experiments[-1])]
    return Learnt(
        lessons=_lessons(over),
        near_misses=_near_misses(over, frozenset(failing)),
        keep_rates=_keep_rates(over),
        calibration=_calibration(experiments),
    )


def kind_text(kinds: Sequence[ChangeKind]) -> str:
    """Return a change's kind in one word; empty where it is not known."""
    return SEVERAL if len(kinds) > 1 else "".join(kind.value for kind in kinds)


def _is_over(one: Experiment, *, newest: Experiment) -> bool:
    """Tell whether a change, which the baseline is not, was decided, judged, or measured and left for another one."""
    is_left = one.comparison is not None and one.n != newest.n
    return one.parent is not None and bool(one.decision or one.judgement or is_left)


def _lessons(over: Sequence[Experiment]) -> tuple[Lesson, ...]:
    newest: dict[str, Experiment] = {}
    times: Counter[str] = Counter()
    for one in reversed(over):
        key = " ".join(_lesson(one).casefold().split())
        if key:
            newest.setdefault(key, one)
            times[key] += 1
    return tuple(
        Lesson(experiment=one.n, kind=kind_text(one.kind_of_change), text=_lesson(one), others=times[key] - 1)
        for key, one in list(newest.items())[:_LESSONS]
    )


def _lesson(one: Experiment) -> str:
    if one.decision in _DROPPED:
        return one.reason
    is_refused = one.decision is None and one.judgement is not None and one.judgement.outcome is Outcome.REFUSED
    return one.judgement.reason if is_refused and one.judgement else ""


def _near_misses(over: Iterable[Experiment], failing: frozenset[str]) -> tuple[NearMiss, ...]:
    found = (_near_miss(one, failing) for one in over if one.decision is not Decision.KEEP)
    return tuple(heapq.nlargest(_NEAR_MISSES, (one for one in found if one is not None), key=_nearness))


def _near_miss(one: Experiment, failing: frozenset[str]) -> NearMiss | None:
    fixed = tuple(name for name in one.comparison.solved if name in failing) if one.comparison else ()
    if one.comparison is None or not fixed:
        return None
    evidence = one.judgement.evidence if one.judgement else None
    return NearMiss(experiment=one.n, fixed=fixed, broken=one.comparison.broken, evidence=evidence)


def _nearness(miss: NearMiss) -> tuple[float, int, int]:
    """What was proven in part comes before one lucky run; then what fixed most and broke least; then the newest."""
    return miss.evidence or 0.0, len(miss.fixed) - len(miss.broken), miss.experiment


def _keep_rates(over: Iterable[Experiment]) -> tuple[KeepRate, ...]:
    tried: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for one in over:
        kind = kind_text(one.kind_of_change)
        tried[kind] += 1
        kept[kind] += one.decision is Decision.KEEP
    kinds = [*(kind.value for kind in ChangeKind), SEVERAL]
    return tuple(KeepRate(kind=kind, kept=kept[kind], tried=tried[kind]) for kind in kinds if tried[kind])


def _calibration(experiments: Iterable[Experiment]) -> Calibration:
    scores = [one.prediction for one in experiments if one.prediction]
    return Calibration(
        runs=len(scores), fixed=_hits([one.fixed for one in scores]), broken=_hits([one.broken for one in scores])
    )


def _hits(forecasts: Sequence[Forecast]) -> Hits:
    hits = sum(len(one.hits) for one in forecasts)
    return Hits(
        expected=hits + sum(len(one.misses) for one in forecasts),
        happened=hits + sum(len(one.surprises) for one in forecasts),
        hits=hits,
    )
