"""The race of a candidate against its incumbent: what the pairs prove so far, and what is to be paired next. Pure.

A race is judged at the ends of rounds alone, and from nothing but its pairs: a run that was killed goes on with those
it has, and a candidate that is met again adds to them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import cached_property
from statistics import NormalDist

from pydantic import Field

from autoagent_mcp.experiment.evidence import CONFIRMED, ROLL_BACK, ROUNDS, evidence, graded_evidence
from autoagent_mcp.models.base import Frozen

_SETTLED_ROUND = 0
_FEWEST_ATTEMPTS = 2  # of the incumbent, before a task can be settled
VOID_PERCENT = 10
"""Of the pairs, or of the trials of the score: as many that measured nothing leave it undecided."""
_BEST_SPLIT, _EVEN_SPLIT = Fraction(85, 100), Fraction(1, 2)
_TOLERANCE = 1e-9  # of sums of rewards, which are not exact
_NORMAL_95 = NormalDist().inv_cdf(0.975)


class Pair(Frozen):
    """One fresh trial of the candidate and one of the incumbent, on the same task and in the same batch."""

    task: str
    round: int = Field(ge=0)
    """From 1 on; 0 for the one pair of a settled task."""
    difference: float | None = Field(ge=-1, le=1)
    """The candidate's reward minus the incumbent's; None: one of the two measured nothing, so the pair is void."""


class Race(Frozen):
    """What a candidate has to show."""

    live: tuple[str, ...]
    """Tasks that are paired in each round."""
    settled: tuple[str, ...]
    """Tasks that are paired once, after the live ones have proven the candidate."""
    threshold: float
    rounds: int = ROUNDS
    margin: float = 0.0
    """Above 0: a simplification, which has to be proven not worse by the margin. Its tasks are all live."""


class State(str, Enum):
    """How a race, or a review of the champion against the baseline, stands."""

    RACING = "racing"
    PROVEN = "proven"
    HOPELESS = "hopeless"
    UNDECIDED = "undecided"
    """The rounds are used up; more may be granted."""
    INVALID = "invalid"
    """A tenth of the pairs or more are void."""
    CONFIRMED = "confirmed"
    """The champion is better than the baseline."""
    BEATEN = "beaten"
    """The baseline is better than the champion."""
    PROVISIONAL = "provisional"
    """Neither could be shown."""


class Standing(Frozen):
    """What the complete rounds say, and what is to be paired next."""

    state: State
    wins: int
    losses: int
    ties: int
    evidence: float
    difference: float
    """Mean difference over all tasks, in points of the pass rate; one that was not paired counts as no difference.

    Pairs end when they look well, so this leans to the candidate. A score is what fresh runs measure afterwards.
    """
    low: float
    high: float
    """The difference's 95 % interval, in points."""
    round: int
    """Of `tasks`; once all has ended, the last complete one."""
    tasks: tuple[str, ...]
    """What is to be paired next; empty when it has ended."""


def is_settled(
    incumbent_passed: float, incumbent_attempts: int, candidate_passed: float, candidate_attempts: int
) -> bool:
    """Say whether a task tells nothing: the incumbent passes always or never, seen twice, and the candidate agrees."""
    if incumbent_attempts < _FEWEST_ATTEMPTS or not candidate_attempts:
        return False
    never = incumbent_passed == 0 and candidate_passed == 0
    return never or (incumbent_passed == incumbent_attempts and candidate_passed == candidate_attempts)


def pooled(tallies: Iterable[tuple[float, int]]) -> tuple[float, int]:
    """Pool all trials that the incumbent ever had, those of races too, into its passes and attempts at the door.

    Races try the live tasks alone, so each task counts once, by the share of its trials that passed. From whole runs
    alone, an incumbent whose one run was lucky would shut the door on everybody and keep a score that is too high.

    Args:
        tallies: Of each task: how many trials of the incumbent passed, and how many there were.
    """
    shares = [passed / attempts for passed, attempts in tallies if attempts]
    return math.fsum(shares), len(shares)


def opens_door(
    candidate_passed: float,
    candidate_attempts: int,
    incumbent_passed: float,
    incumbent_attempts: int,
    *,
    margin: float = 0.0,
) -> bool:
    """Say whether a candidate's first run is worth a race. Refusing here can never keep a candidate by luck.

    Args:
        candidate_passed: Trials that passed in the candidate's first run of the whole suite.
        candidate_attempts: Trials that were measured in it.
        incumbent_passed: The incumbent's, `pooled`.
        incumbent_attempts: The incumbent's, `pooled`.
        margin: Above 0 for a simpler candidate: it may pass less by the margin that it will have to prove. A gain has
            to pass more.
    """
    if not candidate_attempts or not incumbent_attempts:
        return False
    gain = candidate_passed / candidate_attempts - incumbent_passed / incumbent_attempts
    return gain >= -margin - _TOLERANCE if margin else gain > _TOLERANCE


def standing(race: Race, pairs: Iterable[Pair]) -> Standing:
    """Judge a race at the end of its last complete round.

    Proven: the evidence reaches the threshold, and still does with the pairs of the settled tasks. Hopeless: on average
    the candidate is no better (a simplification: is worse by the margin), or the rounds left cannot bring the evidence
    to the threshold even if as many of their pairs are decided as so far and 85 % of those are won (a simplification:
    half of them, or the share won so far). Undecided: neither, and the rounds are used up; granting more goes on from
    here. Invalid: too many pairs are void; called without those, it asks for them again.

    Raises:
        ValueError: A pair is of another task, or the same pair was measured twice, which would count it twice.
    """
    seen = _see(race.live, race.settled, pairs, race.margin)
    return seen.before_judging() or _judge(race, seen)


def review_standing(
    live: Sequence[str], pairs: Iterable[Pair], rounds: int = ROUNDS, *, is_fixed_size: bool = False
) -> Standing:
    """Judge the champion against the baseline; a pair's difference is the champion's reward minus the baseline's.

    Confirmed or beaten: the evidence for the one or the other suffices. Provisional: the rounds are used up, or those
    left can bring neither, reckoned as in a race. One of fixed size is judged when all rounds are there.

    Raises:
        ValueError: As for a race.
    """
    pairs = tuple(pairs)
    seen = _see(live, (), pairs, 0.0)
    mirrored = _see(live, (), [_mirror(pair) for pair in pairs], 0.0)
    if is_fixed_size and seen.rounds < rounds:
        return seen.go_on()
    return seen.before_judging() or _judge_review(rounds, seen, mirrored)


def _judge(race: Race, seen: _Seen) -> Standing:
    if seen.evidence >= race.threshold:
        return seen.go_on_settled() if seen.missing_settled else seen.end(State.PROVEN)
    if math.fsum(seen.differences) + race.margin * len(seen.differences) <= _TOLERANCE:
        return seen.end(State.HOPELESS)
    if seen.rounds >= race.rounds:
        return seen.end(State.UNDECIDED)
    return seen.go_on() if seen.can_reach(race.threshold, race.rounds) else seen.end(State.HOPELESS)


def _judge_review(rounds: int, seen: _Seen, mirrored: _Seen) -> Standing:
    if seen.evidence >= CONFIRMED:
        return seen.end(State.CONFIRMED)
    if mirrored.evidence >= ROLL_BACK:
        return seen.end(State.BEATEN)
    is_open = seen.can_reach(CONFIRMED, rounds) or mirrored.can_reach(ROLL_BACK, rounds)
    return seen.go_on() if is_open and seen.rounds < rounds else seen.end(State.PROVISIONAL)


def _mirror(pair: Pair) -> Pair:
    return pair.model_copy(update={"difference": None if pair.difference is None else -pair.difference})


@dataclass(frozen=True)
class _Seen:
    """The pairs that count: those of complete rounds, and of the settled tasks once each of them has its own."""

    live: tuple[str, ...]
    settled: tuple[str, ...]
    margin: float
    rounds: int
    """Complete ones."""
    counted: tuple[Pair, ...]
    missing_live: tuple[str, ...]
    missing_settled: tuple[str, ...]

    @cached_property
    def differences(self) -> list[float]:
        return [pair.difference for pair in self.counted if pair.difference is not None]

    @property
    def is_invalid(self) -> bool:
        void = len(self.counted) - len(self.differences)
        return 100 * void >= VOID_PERCENT * max(1, len(self.counted))

    @cached_property
    def evidence(self) -> float:
        if self.margin or not all(value in (-1, 0, 1) for value in self.differences):
            return graded_evidence(self.differences, margin=self.margin)
        return evidence(self.differences.count(1), self.differences.count(-1))

    def can_reach(self, threshold: float, rounds: int) -> bool:
        """Say whether the evidence may still reach the threshold, if the rounds left go as well as can be hoped for."""
        left, done = max(0, rounds - self.rounds), max(1, self.rounds)
        sizes = [abs(value) for value in self.differences if value]
        size = math.fsum(sizes) / max(1, len(sizes))
        decided = math.ceil(len(sizes) * left / done)
        split = _BEST_SPLIT
        if self.margin:
            split = max(_EVEN_SPLIT, Fraction(sum(value > 0 for value in self.differences), max(1, len(sizes))))
        won = math.ceil(decided * split)
        tied = math.ceil((len(self.differences) - len(sizes)) * left / done)
        ahead = [size] * won + [-size] * (decided - won) + [0.0] * tied
        return graded_evidence([*self.differences, *ahead], margin=self.margin) >= threshold

    def before_judging(self) -> Standing | None:
        """Return how it stands while there is nothing to judge: no complete round, or too many void pairs."""
        if self.live and not self.rounds:
            return self.go_on()
        return self.end(State.INVALID) if self.is_invalid else None

    def go_on(self) -> Standing:
        return self._standing(State.RACING, self.rounds + 1, self.missing_live)

    def go_on_settled(self) -> Standing:
        return self._standing(State.RACING, _SETTLED_ROUND, self.missing_settled)

    def end(self, state: State) -> Standing:
        return self._standing(state, self.rounds, ())

    def _standing(self, state: State, number: int, tasks: tuple[str, ...]) -> Standing:
        difference, low, high = mean_difference(self.counted, len(self.live) + len(self.settled))
        return Standing(
            state=state,
            wins=sum(value > 0 for value in self.differences),
            losses=sum(value < 0 for value in self.differences),
            ties=sum(value == 0 for value in self.differences),
            evidence=self.evidence,
            difference=difference,
            low=low,
            high=high,
            round=number,
            tasks=tasks,
        )


def _see(live: Sequence[str], settled: Sequence[str], pairs: Iterable[Pair], margin: float) -> _Seen:
    found = _unique((*live, *settled), pairs)
    rounds = 0
    while live and not _missing(live, rounds + 1, found):
        rounds += 1
    missing_settled = _missing(settled, _SETTLED_ROUND, found)
    first = 1 if missing_settled else _SETTLED_ROUND
    return _Seen(
        live=tuple(live),
        settled=tuple(settled),
        margin=margin,
        rounds=rounds,
        counted=tuple(pair for pair in found.values() if first <= pair.round <= rounds),
        missing_live=_missing(live, rounds + 1, found),
        missing_settled=missing_settled,
    )


def _unique(tasks: Sequence[str], pairs: Iterable[Pair]) -> dict[tuple[str, int], Pair]:
    """Return each pair once: a void one that was tried again gives way to the one that measured something."""
    found: dict[tuple[str, int], Pair] = {}
    for pair in pairs:
        if pair.task not in tasks:
            raise ValueError(f"A pair of {pair.task!r}, which is not in the race.")
        known = found.get((pair.task, pair.round))
        if known is None or known.difference is None:
            found[pair.task, pair.round] = pair
        elif pair.difference is not None:
            raise ValueError(f"Two pairs of {pair.task!r} in round {pair.round}.")
    return found


def _missing(tasks: Sequence[str], number: int, found: dict[tuple[str, int], Pair]) -> tuple[str, ...]:
    return tuple(task for task in tasks if (task, number) not in found)


def mean_difference(pairs: Sequence[Pair], tasks: int) -> tuple[float, float, float]:
    """Return the mean difference over the tasks and its 95 % interval, in points of the pass rate.

    A task counts once, with the mean of its pairs, so pairs of one task are not taken for independent ones. For the
    interval one won and one lost pair are added, each on a task of its own (Bonett and Price, 2012): without them a
    handful of ties would claim to be certain.
    """
    values: dict[str, list[float]] = {}
    for pair in pairs:
        if pair.difference is not None:
            values.setdefault(pair.task, []).append(pair.difference)
    if not values:
        return 0.0, -100.0, 100.0
    means = [math.fsum(of_task) / len(of_task) for of_task in values.values()]
    means += [0.0] * (tasks - len(means))
    added = len(values) / sum(map(len, values.values()))  # one pair among as many as a task has
    widened = [*means, added, -added]
    centre = math.fsum(widened) / len(widened)
    half = _NORMAL_95 * math.sqrt(math.fsum((mean - centre) ** 2 for mean in widened)) / len(widened)
    return 100 * math.fsum(means) / tasks, 100 * max(-1.0, centre - half), 100 * min(1.0, centre + half)
