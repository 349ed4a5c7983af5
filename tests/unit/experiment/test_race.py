"""A race and a review, from their pairs alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoagent_mcp.experiment.race import (
    Pair,
    Race,
    Standing,
    State,
    is_settled,
    opens_door,
    pooled,
    review_standing,
    standing,
)

TASKS = tuple("abcdefghijklmnopqrst")
REPEATABLE = settings(deadline=None, derandomize=True, database=None, max_examples=60)


def race(live: int = 4, settled: int = 0, threshold: float = 3.0, rounds: int = 4, margin: float = 0.0) -> Race:
    names = tuple(f"settled-{number}" for number in range(settled))
    return Race(live=TASKS[:live], settled=names, threshold=threshold, rounds=rounds, margin=margin)


def pairs_of(number: int, differences: Sequence[float | None]) -> list[Pair]:
    """One round, from the first task on."""
    return [Pair(task=task, round=number, difference=one) for task, one in zip(TASKS, differences, strict=False)]


def rounds_of(*rounds: Sequence[float | None]) -> list[Pair]:
    return [pair for number, one in enumerate(rounds, 1) for pair in pairs_of(number, one)]


def settled_of(*differences: float | None) -> list[Pair]:
    return [Pair(task=f"settled-{number}", round=0, difference=one) for number, one in enumerate(differences)]


def test_it_begins_with_every_live_task_and_knows_nothing() -> None:
    now = standing(race(), [])
    assert (now.state, now.round, now.tasks) == (State.RACING, 1, TASKS[:4])
    assert (now.evidence, now.low, now.high) == (1, -100, 100)


def test_enough_wins_prove_it_at_the_end_of_a_round() -> None:
    now = standing(race(), rounds_of([1, 1, 1, 0]))
    assert (now.state, now.tasks) == (State.PROVEN, ())
    assert (now.wins, now.losses, now.ties, now.evidence) == (3, 0, 1, 3.75)


def test_an_unfinished_round_proves_nothing_and_asks_for_the_rest() -> None:
    now = standing(race(), rounds_of([1, 0, 0, 0], [1, 1, 1]))
    assert (now.state, now.round, now.tasks) == (State.RACING, 2, ("d",))
    assert (now.wins, now.evidence) == (1, 1.5)


def test_one_task_that_is_solved_for_good_is_proven_in_three_rounds() -> None:
    played = [[1.0, 0.0, 0.0, 0.0]] * 3
    assert [standing(race(), rounds_of(*played[:n])).state for n in (1, 2, 3)] == [
        State.RACING,
        State.RACING,
        State.PROVEN,
    ]


@pytest.mark.parametrize("first", [[0, 0, 0, 0], [1, -1, 0, 0], [-1, 0, 0, 0], [1, 1, -1, -1]])
def test_as_many_losses_as_wins_are_hopeless(first: list[float]) -> None:
    now = standing(race(), rounds_of(first))
    assert (now.state, now.tasks) == (State.HOPELESS, ())


def test_what_the_rounds_left_cannot_bring_is_hopeless() -> None:
    played = [[1, 0, 0, 0], [1, 0, 0, 0], [-1, 0, 0, 0]]
    assert standing(race(), rounds_of(*played[:2])).state is State.RACING
    assert standing(race(), rounds_of(*played)).state is State.HOPELESS
    assert standing(race(rounds=8), rounds_of(*played)).state is State.RACING


def test_at_best_85_of_100_decided_pairs_are_hoped_for() -> None:
    even = [1.0] * 11 + [-1.0] * 9  # one more round at best: 28 to 12, evidence 9.5
    assert standing(race(live=20, threshold=9, rounds=2), rounds_of(even)).state is State.RACING
    assert standing(race(live=20, threshold=10, rounds=2), rounds_of(even)).state is State.HOPELESS


def test_used_up_rounds_leave_it_undecided_and_more_go_on_where_it_was() -> None:
    played = rounds_of([1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0])
    now = standing(race(), played)
    assert (now.state, now.tasks, now.wins) == (State.UNDECIDED, (), 2)
    more = standing(race(rounds=8), played)
    assert (more.state, more.round, more.evidence) == (State.RACING, 5, now.evidence)
    assert standing(race(rounds=8), [*played, *pairs_of(5, [1, 0, 0, 0])]).state is State.PROVEN


def test_the_settled_tasks_are_paired_once_when_the_live_ones_have_proven_it() -> None:
    won = rounds_of([1, 1, 1, 0])
    now = standing(race(settled=2), won)
    assert (now.state, now.round, now.tasks) == (State.RACING, 0, ("settled-0", "settled-1"))
    half = standing(race(settled=2), [*won, *settled_of(-1)])
    assert (half.round, half.tasks, half.losses) == (0, ("settled-1",), 0)
    assert standing(race(settled=2), [*won, *settled_of(0, 0)]).state is State.PROVEN


def test_a_settled_task_that_broke_takes_the_proof_away_and_the_race_goes_on() -> None:
    played = [*rounds_of([1, 1, 1, 0]), *settled_of(-1, 0)]
    now = standing(race(settled=2), played)
    assert (now.state, now.round, now.tasks, now.losses) == (State.RACING, 2, TASKS[:4], 1)
    assert standing(race(settled=2), [*played, *pairs_of(2, [1, 1, 1, 0])]).state is State.PROVEN
    broken = [*rounds_of([1, 1, 1, 0]), *settled_of(-1, -1, -1)]
    assert standing(race(settled=3), broken).state is State.HOPELESS


def test_a_tenth_of_void_pairs_makes_it_invalid() -> None:
    one_in_twenty: list[float | None] = [None, *[1.0] * 19]
    assert standing(race(live=20), rounds_of(one_in_twenty)).state is State.PROVEN
    two_in_twenty: list[float | None] = [None, None, *[1.0] * 18]
    played = rounds_of(two_in_twenty)
    assert standing(race(live=20), played).state is State.INVALID
    again = standing(race(live=20), [pair for pair in played if pair.difference is not None])
    assert (again.state, again.tasks) == (State.RACING, TASKS[:2])


def test_a_void_pair_may_be_measured_again_but_a_measured_one_may_not() -> None:
    void, won = pairs_of(1, [None])[0], pairs_of(1, [1])[0]
    rest = pairs_of(1, [0, 1, 1, 0])[1:]
    for played in ([void, won, *rest], [won, void, *rest]):
        assert standing(race(), played).state is State.PROVEN
    with pytest.raises(ValueError, match="Two pairs of 'a' in round 1"):
        standing(race(), [won, won, *rest])
    with pytest.raises(ValueError, match="'z'"):
        standing(race(), [Pair(task="z", round=1, difference=1)])


def test_rewards_between_0_and_1_count_by_their_size() -> None:
    small, large = standing(race(), rounds_of([0.2] * 4)), standing(race(), rounds_of([0.9] * 4))
    assert (small.wins, large.wins) == (4, 4)
    assert small.evidence < 3 <= large.evidence
    assert large.state is State.PROVEN


def test_a_simplification_is_proven_by_ties_and_refused_where_it_is_worse() -> None:
    rule = race(live=20, margin=0.05)
    ties = [[0.0] * 20] * 3
    assert standing(rule, rounds_of(*ties[:1])).state is State.RACING
    assert standing(rule, rounds_of(*ties)).state is State.PROVEN
    assert standing(rule, rounds_of([-1, *[0.0] * 19])).state is State.HOPELESS
    assert standing(race(live=20), rounds_of(*ties)).state is State.HOPELESS


def test_a_simplification_that_chance_hides_is_given_up_early() -> None:
    rule = race(live=20, margin=0.05)
    assert standing(rule, rounds_of([1.0] * 5 + [-1.0] * 5 + [0.0] * 10)).state is State.HOPELESS
    better_too = rounds_of([1.0] * 5 + [-1.0] * 3 + [0.0] * 12)
    assert standing(rule, better_too).state is State.RACING


ROUNDS = st.lists(st.lists(st.sampled_from((-1, 0, 1)), min_size=4, max_size=4), min_size=1, max_size=6)


@REPEATABLE
@given(ROUNDS, st.randoms(use_true_random=False), st.integers(1, 4))
def test_neither_order_nor_the_part_of_a_next_round_changes_anything(
    played: list[list[float]], random: Random, cut: int
) -> None:
    pairs = rounds_of(*played)
    whole = standing(race(settled=1), pairs)
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert standing(race(settled=1), shuffled) == whole
    begun = standing(race(settled=1), [*pairs, *pairs_of(len(played) + 1, [1, 1, 1][: cut - 1])])
    assert (begun.state, begun.evidence, begun.difference) == (whole.state, whole.evidence, whole.difference)


@REPEATABLE
@given(ROUNDS)
def test_more_rounds_granted_never_lose_what_was_shown(played: list[list[float]]) -> None:
    now, later = standing(race(), rounds_of(*played)), standing(race(rounds=12), rounds_of(*played))
    assert (later.wins, later.losses, later.evidence) == (now.wins, now.losses, now.evidence)
    if now.state in (State.PROVEN, State.RACING):
        assert later.state is now.state


def run_race(throw: Callable[[str], float], rule: Race) -> Standing:
    pairs: list[Pair] = []
    while (now := standing(rule, pairs)).tasks:
        pairs += [Pair(task=task, round=now.round, difference=throw(task)) for task in now.tasks]
    return now


@pytest.mark.parametrize(("threshold", "rounds"), [(3.0, 4), (3.0, 30)])
def test_luck_keeps_at_most_one_candidate_in_threshold(threshold: float, rounds: int) -> None:
    """Half of the tasks better, half of them worse by as much: no better on average, and looked at after each round."""
    random = Random(7)  # noqa: S311 - dice
    rates = {task: (0.65, 0.35) if number % 2 else (0.35, 0.65) for number, task in enumerate(TASKS)}

    def throw(task: str) -> float:
        ours, theirs = rates[task]
        return float(random.random() < ours) - float(random.random() < theirs)

    rule = race(live=20, threshold=threshold, rounds=rounds)
    kept = sum(run_race(throw, rule).state is State.PROVEN for _ in range(150))
    assert kept <= 150 / threshold


def test_the_interval_holds_the_truth_of_the_tasks() -> None:
    """One round of fixed length, so nothing is selected; the tasks' true differences differ."""
    random, held = Random(3), 0  # noqa: S311 - dice
    for _ in range(400):
        truth = [(random.random(), random.random()) for _ in range(20)]
        thrown = [float(random.random() < ours) - float(random.random() < theirs) for ours, theirs in truth]
        now = standing(race(live=20, rounds=1), rounds_of(thrown))
        held += now.low <= 100 * sum(ours - theirs for ours, theirs in truth) / 20 <= now.high
    assert held >= 0.94 * 400


@REPEATABLE
@given(st.lists(st.lists(st.floats(-1, 1), min_size=4, max_size=4), min_size=1, max_size=4))
def test_the_interval_is_around_the_difference(played: list[list[float]]) -> None:
    now = standing(race(), rounds_of(*played))
    assert -100 <= now.low <= now.difference <= now.high <= 100
    assert now.difference == pytest.approx(25 * sum(map(sum, played)) / len(played))


def test_tasks_that_are_not_paired_count_as_no_difference() -> None:
    alone = standing(race(), rounds_of([1, 1, 1, 1]))
    beside = standing(race(settled=4), rounds_of([1, 1, 1, 1]))
    assert (alone.difference, beside.difference) == (100, 50)
    assert alone.high == 100 > beside.high


def test_a_few_ties_are_not_certain() -> None:
    few, many = standing(race(live=4), rounds_of([0] * 4)), standing(race(live=20), rounds_of([0] * 20))
    assert few.low < many.low < -5 < 5 < many.high < few.high


@pytest.mark.parametrize(
    ("incumbent", "candidate", "settled"),
    [
        ((0, 2), (0, 1), True),
        ((3, 3), (1, 1), True),
        ((3, 3), (2, 2), True),
        ((0, 1), (0, 1), False),
        ((1, 2), (1, 1), False),
        ((0, 2), (1, 1), False),
        ((2, 2), (0, 1), False),
        ((2, 2), (1, 2), False),
        ((2, 2), (0, 0), False),
        ((0, 2), (0, 0), False),
    ],
)
def test_a_task_is_settled_where_both_always_do_the_same(
    incumbent: tuple[int, int], candidate: tuple[int, int], *, settled: bool
) -> None:
    assert is_settled(*incumbent, *candidate) is settled


@pytest.mark.parametrize(
    ("candidate", "incumbent", "margin", "opens"),
    [
        ((11, 20), (10, 20), 0.0, True),
        ((10, 20), (10, 20), 0.0, False),
        ((10, 20), (19, 40), 0.0, True),
        ((10, 20), (21, 40), 0.0, False),
        ((3, 20), (4, 20), 0.05, True),
        ((2, 20), (4, 20), 0.05, False),
        ((8, 10), (7.999999999999999, 10), 0.0, False),
        ((0, 0), (0, 20), 0.05, False),
        ((5, 20), (0, 0), 0.0, False),
    ],
)
def test_the_door(candidate: tuple[int, int], incumbent: tuple[float, int], margin: float, *, opens: bool) -> None:
    assert opens_door(*candidate, *incumbent, margin=margin) is opens


def test_each_task_counts_once_in_the_incumbents_pool_however_often_it_was_raced() -> None:
    assert pooled([(1, 1), (1, 10), (0, 0)]) == (1.1, 2)


def test_a_review_confirms_the_champion_or_finds_it_beaten() -> None:
    live = TASKS[:8]
    first = review_standing(live, [])
    assert (first.state, first.round, first.tasks) == (State.RACING, 1, live)
    assert review_standing(live, rounds_of([1.0] * 8)).state is State.CONFIRMED
    assert review_standing(live, rounds_of([-1.0] * 3 + [0.0] * 5)).state is State.BEATEN
    assert review_standing(live, rounds_of([None] * 8)).state is State.INVALID


def test_a_review_that_can_show_neither_leaves_the_champion_provisional() -> None:
    live = TASKS[:8]
    open_still = rounds_of([1.0, 1.0, *[0.0] * 6])
    assert review_standing(live, open_still).tasks == live
    assert review_standing(live, open_still, rounds=1).state is State.PROVISIONAL
    assert review_standing(live, rounds_of([0.0] * 8)).state is State.PROVISIONAL
