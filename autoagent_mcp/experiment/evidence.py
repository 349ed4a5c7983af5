"""How much the fresh pairs of a candidate and its incumbent say for the candidate. Pure.

Evidence is a bet against "the candidate is no better": it starts at 1, each pair multiplies it, and while the candidate
is no better its expectation never rises above 1, however unequal the tasks are and however often somebody looks at the
end of a round. So it reaches a threshold T by luck in at most one of T candidates (Ville's inequality).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate

CONFIRMED = 20.0
"""Evidence of the champion over the baseline that confirms what was kept provisionally: luck in at most 1 of 20."""

ROLL_BACK = 3.0
"""Evidence of the baseline over the champion that rolls it back: as much as a keep asks for."""

NO_WORSE = 3.0
"""Evidence that keeps a simpler harness for being no worse: a mistake costs little more than the margin."""

FEWEST_TASKS = 20
"""With fewer visible tasks no change of usual size can be proven: keeps are provisional and a person must look."""

ROUNDS = 4
"""Rounds of one race: most candidates are refused in the first, and what four do not show is too small to pay for."""

_FEW_TASKS_THRESHOLD, _MANY_TASKS_THRESHOLD = 3.0, 6.0
_MANY_TASKS = 50  # and few are FEWEST_TASKS
_WIDEST_MARGIN = 0.05
_STAKES = tuple(step / 100 for step in range(5, 100, 10))
_MOST = 1e12


def evidence(wins: int, losses: int) -> float:
    """Return the evidence of pairs that were won, lost or tied; a tie says nothing.

    It is the mean over all stakes L from 0 to 1 of (1 + L)^wins (1 - L)^losses, exactly:
    the sum of C(n + 1, k) over k > losses, divided by (n + 1) C(n, losses), where n = wins + losses.

    Args:
        wins: Pairs in which the candidate's reward was higher.
        losses: Pairs in which it was lower.

    Returns:
        1 without any pair; at most 1e12, as nothing depends on more.
    """
    pairs = wins + losses
    chosen = accumulate(range(1, losses + 1), lambda before, k: before * (pairs + 2 - k) // k, initial=1)
    numerator = 2 ** (pairs + 1) - sum(chosen)
    denominator = (pairs + 1) * math.comb(pairs, wins)
    return _MOST if numerator >= int(_MOST) * denominator else numerator / denominator


def graded_evidence(differences: Iterable[float], *, margin: float = 0.0) -> float:
    """Return the evidence of differences of any size: the mean over ten stakes L of the product of 1 + L (D + margin).

    Args:
        differences: The candidate's reward minus the incumbent's, each from -1 to 1. Their order is irrelevant.
        margin: How much worse a simplification may be. The evidence is then against "worse by the margin or more".

    Returns:
        1 without any difference; at most 1e12.
    """
    counts = Counter(differences)
    logs = [
        math.fsum(count * math.log1p(stake * (difference + margin)) for difference, count in counts.items())
        for stake in _STAKES
    ]
    return min(_MOST, math.fsum(math.exp(min(log, 2 * math.log(_MOST))) for log in logs) / len(_STAKES))


def threshold_for(tasks: int) -> float:
    """Return the evidence that keeps a candidate: 3 up to 20 visible tasks, 6 from 50 on, evenly rising between.

    Few tasks seldom reach 6 within the rounds. Many do, and there one lucky keep in three would be too many.
    """
    share = (tasks - FEWEST_TASKS) / (_MANY_TASKS - FEWEST_TASKS)
    return _FEW_TASKS_THRESHOLD + (_MANY_TASKS_THRESHOLD - _FEW_TASKS_THRESHOLD) * min(1.0, max(0.0, share))


def margin_for(tasks: int) -> float:
    """Return by how much a simplification may be worse, as a share of the pass rate: one task, at most 5 points."""
    return min(1 / tasks, _WIDEST_MARGIN)
