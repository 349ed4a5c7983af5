"""What a workspace's experiments teach: what to try no more, what nearly worked, what tends to be kept. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.experiment import ChangeKind, Comparison, Decision, Experiment, Forecast, Outcome

SEVERAL = "several"
"""The kind of a change that is of more than one."""
_LESSONS = 8
_LOOKED_AT = 200
"""Lessons are taken from so many of the newest experiments."""
_ALIKE_CHARS = 200
"""Lessons that begin with the same so many characters, whatever their case and layout, are one."""
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
    over = [one for one in experiments if is_over(one, newest=experiments[-1])]
    return Learnt(
        lessons=_lessons(over),
        near_misses=_near_misses(over, frozenset(failing)),
        keep_rates=_keep_rates(over),
        calibration=_calibration(experiments),
    )


def kind_text(kinds: Sequence[ChangeKind]) -> str:
    """Return a change's kind in one word; empty where it is not known."""
    return SEVERAL if len(kinds) > 1 else "".join(kind.value for kind in kinds)


def is_over(one: Experiment, *, newest: Experiment) -> bool:
    """Tell whether a change, which the baseline is not, was decided, judged, or measured and left for another one."""
    is_left = one.comparison is not None and one.n != newest.n
    return one.parent is not None and bool(one.decision or one.judgement or is_left)


def _lessons(over: Sequence[Experiment]) -> tuple[Lesson, ...]:
    newest: dict[str, Experiment] = {}
    times: Counter[str] = Counter()
    for one in over[: -_LOOKED_AT - 1 : -1]:
        key = " ".join(_lesson(one)[:_ALIKE_CHARS].casefold().split())
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
    missed = ((one, one.comparison) for one in over if one.comparison and not _is_kept(one))
    near = ((one, found) for one, found in missed if not failing.isdisjoint(found.solved))
    best = heapq.nlargest(_NEAR_MISSES, near, key=lambda pair: _nearness(*pair, failing))
    return tuple(
        NearMiss(
            experiment=one.n,
            fixed=_among(found.solved, failing),
            broken=found.broken,
            evidence=one.judgement.evidence if one.judgement else None,
        )
        for one, found in best
    )


def _nearness(one: Experiment, found: Comparison, failing: frozenset[str]) -> tuple[float, int, int]:
    """What was proven in part comes before one lucky run; then what fixed most and broke least; then the newest."""
    evidence = one.judgement.evidence if one.judgement else 0.0
    return evidence, len(_among(found.solved, failing)) - len(found.broken), one.n


def _among(names: Iterable[str], failing: frozenset[str]) -> tuple[str, ...]:
    return tuple(filter(failing.__contains__, names))


def _is_kept(one: Experiment) -> bool:
    return one.decision is Decision.KEEP


def _keep_rates(over: Sequence[Experiment]) -> tuple[KeepRate, ...]:
    tried = _by_kind(over)
    kept = _by_kind(one for one in over if _is_kept(one))
    kinds = [*(kind.value for kind in ChangeKind), SEVERAL]
    return tuple(KeepRate(kind=kind, kept=kept[kind], tried=tried[kind]) for kind in kinds if tried[kind])


def _by_kind(some: Iterable[Experiment]) -> Counter[str]:
    found: Counter[str] = Counter()
    for kinds, count in Counter(one.kind_of_change for one in some).items():
        found[kind_text(kinds)] += count
    return found


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
