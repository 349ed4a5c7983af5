"""What a suite can prove, before anything is tried on it. Pure and deterministic.

The candidate is imagined to move every task's log-odds by the same amount, over tasks whose log-odds are spread
normally, as suites of agent tasks are: many nearly always fail or pass, some are in between. A round's wins and losses
are then drawn together for all tasks, always with the same random numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import accumulate
from random import Random
from statistics import NormalDist

from autoagent_mcp.experiment.evidence import ROUNDS, evidence, threshold_for
from autoagent_mcp.models.base import Frozen

_RECKONED_TASKS = 200
"""For more tasks it would take seconds to reckon; the effect shrinks with the square root of their number."""
_SURELY = 0.8
_EPISODES = 300
_SPREAD = 2.0  # standard deviation of the tasks' log-odds
_TYPICAL_PASS_RATE = 0.45
_EXTREME = 0.02  # a pass rate of 0 or 1 over one run of few tasks is not one
_QUANTILES = tuple(NormalDist().inv_cdf((step + 0.5) / 25) for step in range(25))
_STEPS = 7  # halvings of the search: the answer is within a point


class Power(Frozen):
    """What one suite can prove, and what it takes."""

    smallest_effect_points: float | None
    """The smallest true gain, in points of the pass rate, that is proven in 8 of 10 cases; None: none is."""
    trials: int
    """The most that one keep_change may take: the rounds, the settled tasks' pairs and two fresh runs for the score."""


@lru_cache(maxsize=64)
def suite_power(tasks: int, pass_rate: float) -> Power:
    """Reckon what a suite can prove with its own threshold, once for each; takes up to half a second.

    Args:
        tasks: Visible tasks.
        pass_rate: The incumbent's, from 0 to 1.
    """
    reckoned = min(tasks, _RECKONED_TASKS)
    found = power(reckoned, threshold=threshold_for(tasks), pass_rate=pass_rate)
    points = found.smallest_effect_points
    return Power(
        smallest_effect_points=None if points is None else round(points * math.sqrt(reckoned / tasks), 1),
        trials=found.trials * tasks // reckoned,
    )


def power(tasks: int, *, threshold: float, rounds: int = ROUNDS, pass_rate: float | None = None) -> Power:
    """Reckon what a suite can prove when the incumbent has been run once.

    Args:
        tasks: Visible tasks. The trials of hidden ones are not counted: they would tell how many there are.
        threshold: The evidence that keeps a candidate.
        rounds: Rounds of the race.
        pass_rate: The incumbent's, from 0 to 1; None where it is not known yet.
    """
    return Power(
        smallest_effect_points=_smallest_effect(tasks, threshold, rounds, pass_rate),
        trials=2 * tasks * rounds + 2 * tasks,
    )


def _smallest_effect(tasks: int, threshold: float, rounds: int, pass_rate: float | None) -> float | None:
    rate = min(1 - _EXTREME, max(_EXTREME, _TYPICAL_PASS_RATE if pass_rate is None else pass_rate))
    before = _rates(_shift_to(rate))
    low, high = rate, 1 - _EXTREME / 2
    if _share_proven(before, _rates(_shift_to(high)), tasks, threshold, rounds) < _SURELY:
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        is_enough = _share_proven(before, _rates(_shift_to(middle)), tasks, threshold, rounds) >= _SURELY
        low, high = (low, middle) if is_enough else (middle, high)
    return round(100 * (high - rate), 1)


def _rates(centre: float) -> list[float]:
    """Return the pass rates of a typical suite's tasks, whose log-odds lie around a centre."""
    return [1 / (1 + math.exp(-centre - _SPREAD * quantile)) for quantile in _QUANTILES]


def _shift_to(rate: float) -> float:
    """Return the centre at which the tasks' mean pass rate is this one."""
    low, high = -20.0, 20.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if math.fsum(_rates(middle)) < rate * len(_QUANTILES) else (low, middle)
    return low


def _share_proven(before: Sequence[float], now: Sequence[float], tasks: int, threshold: float, rounds: int) -> float:
    """Return how often the gain is proven: the door, here against the incumbent's one run, and then the rounds."""
    win = math.fsum(new * (1 - old) for old, new in zip(before, now, strict=True)) / len(before)
    loss = math.fsum(old * (1 - new) for old, new in zip(before, now, strict=True)) / len(before)
    random = Random(0)  # noqa: S311 - the same for each effect, so that a larger one never seems harder to prove
    wins_of, losses_of = _cumulative(tasks, win), lru_cache(partial(_losses_of, tasks, loss / (1 - win)))

    def draw() -> tuple[int, int]:
        wins = bisect_left(wins_of, random.random())
        return wins, bisect_left(losses_of(wins), random.random())

    episodes = [[draw() for _ in range(rounds + 1)] for _ in range(_EPISODES)]
    return sum(_is_proven(door, race, threshold) for door, *race in episodes) / _EPISODES


def _is_proven(door: tuple[int, int], race: Sequence[tuple[int, int]], threshold: float) -> bool:
    if door[0] <= door[1]:
        return False
    wins = losses = 0
    for won, lost in race:
        wins, losses = wins + won, losses + lost
        if wins <= losses:
            return False
        if wins >= _wins_needed(losses, threshold):
            return True
    return False


@lru_cache(maxsize=4096)
def _wins_needed(losses: int, threshold: float) -> int:
    enough = 2 * losses + math.ceil(threshold) + 8
    return bisect_left(range(enough), threshold, lo=losses, key=lambda wins: evidence(wins, losses))


def _losses_of(tasks: int, share: float, wins: int) -> list[float]:
    return _cumulative(tasks - wins, share)


def _cumulative(trials: int, share: float) -> list[float]:
    """Return the chances of at most 0, 1, ... trials - 1 successes in so many trials."""
    log_all = math.lgamma(trials + 1)
    return list(
        accumulate(
            math.exp(
                log_all
                - math.lgamma(k + 1)
                - math.lgamma(trials - k + 1)
                + k * math.log(share)
                + (trials - k) * math.log1p(-share)
            )
            for k in range(trials)
        )
    )
