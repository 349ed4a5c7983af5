"""What a suite is said to be able to prove, against races that are really run."""

from __future__ import annotations

import math
from random import Random
from statistics import NormalDist

import pytest

from autoagent_mcp.experiment.evidence import threshold_for
from autoagent_mcp.experiment.power import power
from autoagent_mcp.experiment.race import Pair, Race, State, opens_door, standing


def test_it_tells_the_trials_that_one_keep_may_take() -> None:
    assert power(20, threshold=3).trials == 2 * 20 * 4 + 2 * 20
    assert power(20, threshold=3, rounds=8).trials == 2 * 20 * 8 + 2 * 20


def test_more_tasks_prove_smaller_gains_and_a_higher_threshold_larger_ones() -> None:
    effects = [power(tasks, threshold=3).smallest_effect_points or math.inf for tasks in (5, 10, 20, 40, 80)]
    assert effects == sorted(effects, reverse=True)
    assert len(set(effects)) == len(effects)
    assert (power(40, threshold=6).smallest_effect_points or 0) > effects[3]


def test_it_always_says_the_same() -> None:
    assert power(20, threshold=3, pass_rate=0.4) == power(20, threshold=3, pass_rate=0.4)


@pytest.mark.parametrize("tasks", [1, 20, 100])
def test_nothing_is_to_be_gained_where_everything_passes(tasks: int) -> None:
    found = power(tasks, threshold=threshold_for(tasks), pass_rate=1.0).smallest_effect_points
    assert found is None


def test_a_single_task_proves_nothing() -> None:
    assert power(1, threshold=3).smallest_effect_points is None


@pytest.mark.parametrize(("tasks", "pass_rate"), [(20, 0.45), (20, 0.2), (50, 0.45)])
def test_the_gain_it_names_is_proven_in_about_8_of_10_races(tasks: int, pass_rate: float) -> None:
    threshold = threshold_for(tasks)
    gain = power(tasks, threshold=threshold, pass_rate=pass_rate).smallest_effect_points
    assert gain is not None
    random = Random(11)  # noqa: S311 - dice
    proven = sum(_is_proven(random, tasks, threshold, pass_rate, pass_rate + gain / 100) for _ in range(400))
    assert 0.76 <= proven / 400 <= 0.84


def _is_proven(random: Random, tasks: int, threshold: float, before: float, after: float) -> bool:
    spread = [random.gauss(0, 2) for _ in range(tasks)]
    theirs, ours = _rates(spread, before), _rates(spread, after)
    if not opens_door(_throw(random, ours), tasks, _throw(random, theirs), tasks):
        return False
    names = [str(task) for task in range(tasks)]
    race, pairs = Race(live=tuple(names), settled=(), threshold=threshold), list[Pair]()
    while (now := standing(race, pairs)).tasks:
        pairs += [
            Pair(task=name, round=now.round, difference=_throw(random, [ours[task]]) - _throw(random, [theirs[task]]))
            for task, name in enumerate(names)
        ]
    return now.state is State.PROVEN


def _throw(random: Random, rates: list[float]) -> int:
    return sum(random.random() < rate for rate in rates)


def _rates(spread: list[float], mean: float) -> list[float]:
    """Centre log-odds so that a large suite would pass this share: the probit approximation of the logistic-normal."""
    centre = NormalDist().inv_cdf(mean) * math.sqrt(2**2 + 1.702**2)
    return [1 / (1 + math.exp(-centre - one)) for one in spread]
