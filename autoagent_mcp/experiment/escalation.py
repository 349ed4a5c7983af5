"""Which kind of change to ask for next, by how many in a row were not kept. Pure.

One refusal says little about an idea, several say that it is the wrong one, many that the way of thinking is. So the
loop is turned from variations to another part of the harness, then to what nearly worked, then to taking things out,
and begins again: it never runs out of things to try.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from itertools import takewhile

from autoagent_mcp._text import named
from autoagent_mcp.experiment.learnt import NearMiss, is_over
from autoagent_mcp.models.experiment import ChangeKind, Decision, Experiment, Outcome


class Turn(str, Enum):
    """A way to find the next change."""

    REFINE = "refine"
    PIVOT = "pivot"
    COMBINE = "combine"
    SIMPLIFY = "simplify"


STEPS = ((1, Turn.REFINE), (3, Turn.PIVOT), (5, Turn.COMBINE), (7, Turn.SIMPLIFY))
"""From so many changes in a row that were not kept on."""
PERIOD = 8
"""After so many it begins again."""
_NAMED = 5


def misses(experiments: Sequence[Experiment]) -> int:
    """Count the changes since the last keep that were refused, reverted, or measured and left.

    Args:
        experiments: All of them, oldest first.
    """
    since = takewhile(lambda one: one.decision is not Decision.KEEP, reversed(experiments))
    return sum(_is_missed(one, newest=experiments[-1]) for one in since)


def turn(missed: int) -> Turn | None:
    """Say how to find the next change after so many that were not kept; None where none was."""
    if not missed:
        return None
    place = (missed - 1) % PERIOD + 1
    return next(kind for least, kind in reversed(STEPS) if place >= least)


def advise(experiments: Sequence[Experiment], near_misses: Sequence[NearMiss]) -> str:
    """Say in words which kind of change to try next; empty where the last one was kept.

    Args:
        experiments: All of them, oldest first.
        near_misses: The best first.
    """
    missed = misses(experiments)
    ways = {
        Turn.REFINE: lambda: _refine(experiments, near_misses),
        Turn.PIVOT: lambda: _pivot(experiments),
        Turn.COMBINE: lambda: _combine(near_misses) or _simplify(),
        Turn.SIMPLIFY: _simplify,
    }
    chosen = turn(missed)
    if chosen is None:
        return ""
    changes = "The last change was" if missed == 1 else f"The last {missed} changes were"
    return f"{changes} not kept. {ways[chosen]()}"


def _is_missed(one: Experiment, *, newest: Experiment) -> bool:
    is_open = one.decision is None and one.judgement is not None and one.judgement.outcome is not Outcome.REFUSED
    return is_over(one, newest=newest) and not (is_open and one.n == newest.n)


def _refine(experiments: Sequence[Experiment], near_misses: Sequence[NearMiss]) -> str:
    if not near_misses:
        return (
            f"Refine: read traces of experiment {experiments[-1].n}, find where its idea did not take hold, and try a "
            "variation of it."
        )
    best = near_misses[0]
    broke = f" and broke {named(best.broken, _NAMED)}" if best.broken else ""
    return (
        f"Refine: try a variation of experiment {best.experiment}, which fixed {named(best.fixed, _NAMED)}{broke} "
        f"(git show refs/autoagent/experiments/{best.experiment}:agent.py)."
    )


def _pivot(experiments: Sequence[Experiment]) -> str:
    tried = Counter(kind for one in experiments for kind in one.kind_of_change)
    untried = [kind.value for kind in ChangeKind if not tried[kind]]
    if untried:
        return f"Pivot: change another part of the harness. Not tried yet: {', '.join(untried)}."
    least = min(ChangeKind, key=lambda kind: tried[kind])
    return f"Pivot: change another part of the harness. Tried least: {least.value} ({tried[least]} times)."


def _combine(near_misses: Sequence[NearMiss]) -> str:
    """Name the best near miss and the one that adds most to it."""
    if len(near_misses) < 2:  # noqa: PLR2004 - it takes two
        return ""
    first, *others = near_misses
    second = max(others, key=lambda one: len({*one.fixed} - {*first.fixed}))
    fixed = tuple(dict.fromkeys((*first.fixed, *second.fixed)))
    return (
        f"Combine near misses: put experiments {first.experiment} and {second.experiment} together, which fixed "
        f"{named(fixed, _NAMED)} (git show refs/autoagent/experiments/<n>:agent.py)."
    )


def _simplify() -> str:
    return (
        "Simplify: take out of the harness what the traces show to be of no use; a simpler one is kept when it is no "
        "worse."
    )
