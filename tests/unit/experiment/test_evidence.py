"""What evidence guarantees: it rarely favours what is no better, and it grows with wins alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoagent_mcp.experiment.evidence import evidence, graded_evidence, margin_for, threshold_for

REPEATABLE = settings(deadline=None, derandomize=True, database=None, max_examples=60)
COUNTS = st.integers(0, 40)
SIGNS = st.lists(st.sampled_from((-1, 0, 1)), max_size=60)
REWARD_DIFFERENCES = st.lists(st.floats(-1, 1), max_size=40)


@pytest.mark.parametrize(
    ("losses", "wins_needed"),
    [(0, (3, 4, 5, 7)), (1, (6, 7, 8, 10)), (2, (8, 9, 11, 12)), (3, (10, 12, 13, 14)), (5, (13, 15, 17, 18))],
)
def test_the_wins_that_so_many_losses_ask_for(losses: int, wins_needed: tuple[int, ...]) -> None:
    found = tuple(
        next(wins for wins in itertools.count() if evidence(wins, losses) >= threshold) for threshold in (3, 6, 10, 20)
    )
    assert found == wins_needed


def test_no_pairs_say_nothing() -> None:
    assert evidence(0, 0) == graded_evidence([]) == graded_evidence([0.0, 0.0]) == 1


@REPEATABLE
@given(COUNTS, COUNTS)
def test_it_is_the_integral_over_all_stakes(wins: int, losses: int) -> None:
    # Expanded in powers of the stake and integrated term by term: nothing in common with how the product reckons.
    total = sum(
        Fraction((-1) ** lost * math.comb(wins, won) * math.comb(losses, lost), won + lost + 1)
        for won in range(wins + 1)
        for lost in range(losses + 1)
    )
    assert evidence(wins, losses) == pytest.approx(min(float(total), 1e12))


@REPEATABLE
@given(COUNTS, COUNTS)
def test_a_win_raises_it_and_a_loss_lowers_it(wins: int, losses: int) -> None:
    now = evidence(wins, losses)
    assert evidence(wins, losses + 1) < now or now == 1e12
    assert evidence(wins + 1, losses) > now or now == 1e12


@pytest.mark.parametrize("form", ["exact", "graded"])
@REPEATABLE
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_it_is_not_expected_to_grow_while_the_candidate_is_no_better(
    form: str, rates: list[tuple[float, float]]
) -> None:
    """Each task has pass rates of its own for both; on average the candidate's are made no better than the incumbent's.

    All outcomes are enumerated with their exact probabilities. By Ville's inequality the false keeps follow.
    """
    surplus = max(0.0, sum(ours - theirs for ours, theirs in rates))
    scale = 1 - surplus / max(surplus, sum(ours for ours, _ in rates), 1e-12)
    chances = [_chances(ours * scale, theirs) for ours, theirs in rates]
    assert sum(chance[1] - chance[-1] for chance in chances) <= 1e-9
    assert _expected(chances, _of_signs if form == "exact" else graded_evidence) <= 1 + 1e-9


@REPEATABLE
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5), st.floats(0.01, 0.05))
def test_a_harness_worse_by_the_margin_is_not_expected_to_look_harmless(
    rates: list[tuple[float, float]], margin: float
) -> None:
    surplus = max(0.0, sum(ours - theirs + margin for ours, theirs in rates))
    scale = 1 - surplus / max(surplus, sum(ours for ours, _ in rates), 1e-12)
    chances = [_chances(ours * scale, theirs) for ours, theirs in rates]
    if sum(chance[1] - chance[-1] + margin for chance in chances) <= 1e-9:
        assert _expected(chances, lambda signs: graded_evidence(signs, margin=margin)) <= 1 + 1e-9


def _chances(ours: float, theirs: float) -> dict[int, float]:
    won, lost = ours * (1 - theirs), theirs * (1 - ours)
    return {1: won, -1: lost, 0: 1 - won - lost}


def _of_signs(signs: tuple[int, ...]) -> float:
    return evidence(signs.count(1), signs.count(-1))


def _expected(chances: list[dict[int, float]], judge: Callable[[tuple[int, ...]], float]) -> float:
    return math.fsum(
        math.prod(chance[sign] for chance, sign in zip(chances, signs, strict=True)) * judge(signs)
        for signs in itertools.product((-1, 0, 1), repeat=len(chances))
    )


@REPEATABLE
@given(SIGNS)
def test_wins_and_losses_as_graded_differences_say_nearly_the_same(signs: list[int]) -> None:
    # Ten stakes in place of all: within 15 % wherever a decision is near.
    exact = evidence(signs.count(1), signs.count(-1))
    if exact < 50:
        assert graded_evidence(signs) == pytest.approx(exact, rel=0.15)


@REPEATABLE
@given(REWARD_DIFFERENCES, st.randoms(use_true_random=False), st.floats(0, 0.05))
def test_the_order_of_the_pairs_is_irrelevant(differences: list[float], random: Random, margin: float) -> None:
    shuffled = list(differences)
    random.shuffle(shuffled)
    assert graded_evidence(shuffled, margin=margin) == graded_evidence(differences, margin=margin)


@REPEATABLE
@given(REWARD_DIFFERENCES, st.floats(-1, 1), st.floats(0, 0.5))
def test_a_better_reward_never_lowers_it(differences: list[float], last: float, more: float) -> None:
    better = graded_evidence([*differences, min(1.0, last + more)])
    assert better >= graded_evidence([*differences, last]) * (1 - 1e-12)


def test_thousands_of_pairs_overflow_nothing() -> None:
    assert evidence(5000, 0) == graded_evidence([1.0] * 5000) == 1e12
    assert 0 <= evidence(0, 5000) < 1e-3
    assert 0 <= graded_evidence([-1.0] * 5000) < 1e-3


def test_the_threshold_and_the_margin_depend_on_the_number_of_tasks() -> None:
    assert [threshold_for(tasks) for tasks in (1, 20, 35, 50, 500)] == [3, 3, 4.5, 6, 6]
    assert [margin_for(tasks) for tasks in (1, 20, 50)] == [0.05, 0.05, 0.02]
