"""Intervals beside published values."""

from __future__ import annotations

import pytest

from autoagent_mcp.report.intervals import Interval, difference, pass_rate


@pytest.mark.parametrize(
    ("passed", "trials", "low", "high"),
    [
        (81, 263, 25.53, 36.62),  # Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3
        (15, 148, 6.24, 16.05),
        (0, 20, 0.0, 16.11),
        (1, 29, 0.61, 17.18),
    ],
)
def test_a_pass_rate_has_wilsons_interval(passed: int, trials: int, low: float, high: float) -> None:
    found = pass_rate(passed, trials)
    assert found.points == pytest.approx(100 * passed / trials)
    assert (found.low, found.high) == (pytest.approx(low, abs=0.005), pytest.approx(high, abs=0.005))


def test_without_trials_everything_is_possible() -> None:
    assert pass_rate(0, 0) == Interval(0.0, 0.0, 100.0)


@pytest.mark.parametrize(
    ("now", "before", "points", "low", "high"),
    [
        ((56, 70), (48, 80), 20.0, 5.24, 33.39),  # Newcombe (1998), Statistics in Medicine 17, 873-890, table II
        ((9, 10), (3, 10), 60.0, 17.05, 80.90),
        ((10, 10), (0, 20), 100.0, 67.91, 100.0),
    ],
)
def test_a_difference_has_newcombes_interval(
    now: tuple[int, int], before: tuple[int, int], points: float, low: float, high: float
) -> None:
    found = difference(pass_rate(*before), pass_rate(*now))
    assert found == (pytest.approx(points), pytest.approx(low, abs=0.005), pytest.approx(high, abs=0.005))
