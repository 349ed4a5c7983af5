"""95 % intervals of pass rates, in points. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

_NORMAL_95 = 1.959963984540054


class Interval(NamedTuple):
    """A rate or a difference of rates in points, with its 95 % interval."""

    points: float
    low: float
    high: float


def pass_rate(passed: int, trials: int) -> Interval:
    """Return the pass rate with Wilson's score interval (Wilson, 1927).

    It takes each trial for one of its own. Trials of the same tasks vary less than that, so the interval is rather too
    wide than too narrow for the question how the same tasks would go again.
    """
    if not trials:
        return Interval(0.0, 0.0, 100.0)
    rate, square = passed / trials, _NORMAL_95**2
    centre = (rate + square / (2 * trials)) / (1 + square / trials)
    half = _NORMAL_95 * math.sqrt(rate * (1 - rate) / trials + square / (4 * trials**2)) / (1 + square / trials)
    return Interval(100 * rate, 100 * max(0.0, centre - half), 100 * min(1.0, centre + half))


def difference(before: Interval, now: Interval) -> Interval:
    """Return the difference of two rates, with the interval that follows from theirs (Newcombe, 1998, method 10)."""
    points = now.points - before.points
    down = math.hypot(now.points - now.low, before.high - before.points)
    up = math.hypot(now.high - now.points, before.points - before.low)
    return Interval(points, points - down, points + up)
