"""A night in which every truth is known: tasks that pass by chance, candidates that help or do not, and the two rules.

A task passes with a probability whose log-odds are normal (mean -0.3, standard deviation 2: about 45 % pass). A
candidate shifts the log-odds of all tasks, seen or not, by the same amount; one that overfits solves a tenth of the
visible tasks and slightly harms all others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from statistics import NormalDist, fmean

from autoagent_mcp.experiment.confirm import REVIEW_EVERY
from autoagent_mcp.experiment.duel import SCORE_RUNS
from autoagent_mcp.experiment.evidence import CONFIRMED, FEWEST_TASKS, threshold_for
from autoagent_mcp.experiment.hidden import PAIRS
from autoagent_mcp.experiment.race import Pair, Race, State, is_settled, opens_door, pooled, review_standing, standing

CENTRE, SPREAD = -0.3, 2.0
OVERFIT_SHARE, OVERFIT_HARM, SOLVED = 0.1, 0.15, 4.0
_ALL_TASKS = [NormalDist(CENTRE, SPREAD).inv_cdf((step + 0.5) / 500) for step in range(500)]


@dataclass(frozen=True)
class Mix:
    """How often candidates are of which kind; `size` is the standard deviation of the shift, whose sign the kind has.

    A size of 0.59 helps by 7 points on average.
    """

    harmful: float = 0.0
    helpful: float = 0.0
    overfit: float = 0.0
    size: float = 0.0


MIXES = {
    "null": Mix(),
    "hard": Mix(harmful=0.35, helpful=0.10, overfit=0.10, size=0.295),
    "easy": Mix(harmful=0.25, helpful=0.15, overfit=0.10, size=0.59),
}


@dataclass(frozen=True)
class Harness:
    """The truth about one harness: the log-odds of its visible and hidden tasks, and the shift of all others."""

    visible: tuple[float, ...]
    hidden: tuple[float, ...]
    shift: float = 0.0

    def true_rate(self) -> float:
        """Return the true pass rate on the visible tasks."""
        return fmean(map(chance, self.visible))

    def unseen_rate(self) -> float:
        """Return the true pass rate on tasks that nobody has seen."""
        return fmean(chance(log_odds + self.shift) for log_odds in _ALL_TASKS)

    def shifted(self, shift: float) -> Harness:
        """Return a harness that does better or worse everywhere."""
        return Harness(
            visible=tuple(log_odds + shift for log_odds in self.visible),
            hidden=tuple(log_odds + shift for log_odds in self.hidden),
            shift=self.shift + shift,
        )


def chance(log_odds: float) -> float:
    """Return the probability that a task passes."""
    return 1 / (1 + math.exp(-log_odds))


class OutOfBudgetError(Exception):
    """The next run would cost more than is left."""


@dataclass
class World:
    """Where trials are paid for and thrown, and where candidates come from."""

    random: Random
    mix: Mix
    tasks: int
    budget: float
    spent: float = 0.0
    """In suite runs."""

    def baseline(self) -> Harness:
        """Draw the tasks."""
        draw = [self.random.gauss(CENTRE, SPREAD) for _ in range(self.tasks + self.tasks // 2)]
        return Harness(visible=tuple(draw[: self.tasks]), hidden=tuple(draw[self.tasks :]))

    def candidate(self, incumbent: Harness) -> Harness:
        """Draw what the meta-agent proposes."""
        kind, size = self.random.random(), abs(self.random.gauss(0, self.mix.size))
        if kind < self.mix.harmful:
            return incumbent.shifted(-size)
        if kind < self.mix.harmful + self.mix.helpful:
            return incumbent.shifted(size)
        if kind < self.mix.harmful + self.mix.helpful + self.mix.overfit:
            return self._overfit(incumbent)
        return incumbent

    def _overfit(self, incumbent: Harness) -> Harness:
        failing = [task for task, log_odds in enumerate(incumbent.visible) if log_odds < 0]
        solved = set(self.random.sample(failing, min(len(failing), round(OVERFIT_SHARE * self.tasks))))
        harmed = incumbent.shifted(-OVERFIT_HARM)
        visible = tuple(SOLVED if task in solved else log_odds for task, log_odds in enumerate(harmed.visible))
        return Harness(visible=visible, hidden=harmed.hidden, shift=harmed.shift)

    def is_simpler(self) -> bool:
        """Toss the coin that stands for the harness's complexity."""
        return self.random.choice((True, False))

    def pay(self, trials: int) -> None:
        """Take the price of so many trials.

        Raises:
            OutOfBudgetError: It is more than is left.
        """
        if self.spent + trials / self.tasks > self.budget:
            raise OutOfBudgetError
        self.spent += trials / self.tasks

    def run(self, log_odds: tuple[float, ...]) -> list[bool]:
        """Try each task once."""
        self.pay(len(log_odds))
        return [self.random.random() < chance(one) for one in log_odds]


@dataclass
class Night:
    """What the ledger would say in the morning, and the champion's truth."""

    champion: Harness
    score: float = 0.0
    keeps: int = 0
    false_keeps: int = 0
    candidates: int = 0

    def keep(self, candidate: Harness, score: float) -> None:
        """Make the candidate the champion."""
        self.keeps += 1
        self.false_keeps += candidate.shift <= self.champion.shift
        self.champion, self.score = candidate, score


def seed_night(world: World, baseline: Harness, candidates: int) -> Night:
    """One run each: more passed is kept, equally many and simpler is kept, and that run is the score."""
    night = Night(baseline, fmean(world.run(baseline.visible)))
    try:
        for _ in range(candidates):
            candidate = world.candidate(night.champion)
            score = fmean(world.run(candidate.visible))
            night.candidates += 1
            if score > night.score or (score == night.score and world.is_simpler()):
                night.keep(candidate, score)
    except OutOfBudgetError:
        pass
    return night


@dataclass(frozen=True)
class Record:
    """What is known of one harness: its score, and how many trials of each task passed, whatever they were for."""

    score: float
    passed: list[int]
    attempts: list[int]


class EvidenceNight:
    """Door, race, settled tasks, hidden veto, fresh runs for the score, and a review every third keep."""

    def __init__(self, world: World, baseline: Harness) -> None:
        self.world = world
        self.baseline = baseline
        self.record = self.measured(baseline, runs=1)
        self.confirmed = baseline, self.record
        self.provisional = 0
        self.night = Night(baseline, self.record.score)

    def measured(self, harness: Harness, runs: int) -> Record:
        """Measure a harness by fresh runs of the whole suite."""
        passed = [sum(of_task) for of_task in zip(*(self.world.run(harness.visible) for _ in range(runs)), strict=True)]
        return Record(score=fmean(passed) / runs, passed=passed, attempts=[runs] * len(passed))

    def go_through(self, candidates: int) -> Night:
        """Propose, race and keep until the candidates or the money are used up."""
        try:
            for _ in range(candidates):
                candidate = self.world.candidate(self.night.champion)
                run = self.world.run(candidate.visible)
                self.night.candidates += 1
                proof = self.proof(candidate, run)
                if proof and not self.is_vetoed(candidate):
                    self.keep(candidate, proof)
        except OutOfBudgetError:
            pass
        return self.night

    def proof(self, candidate: Harness, run: list[bool]) -> float:
        """Open the door or not, and race: return the evidence, or 0 where it is not proven."""
        record, tasks = self.record, range(self.world.tasks)
        if not opens_door(sum(run), len(run), *pooled(zip(record.passed, record.attempts, strict=True))):
            return 0.0
        settled = {task for task in tasks if is_settled(record.passed[task], record.attempts[task], run[task], 1)}
        race = Race(
            live=tuple(str(task) for task in tasks if task not in settled),
            settled=tuple(map(str, sorted(settled))),
            threshold=threshold_for(self.world.tasks),
        )
        pairs: list[Pair] = []
        while (now := standing(race, pairs)).tasks:
            for task in now.tasks:
                ours, theirs = self.pair(int(task), candidate, self.night.champion)
                record.passed[int(task)] += theirs
                record.attempts[int(task)] += 1
                pairs.append(Pair(task=task, round=now.round, difference=ours - theirs))
        return now.evidence if now.state is State.PROVEN else 0.0

    def pair(self, task: int, candidate: Harness, incumbent: Harness) -> tuple[bool, bool]:
        """Try one task once with both."""
        ours, theirs = self.world.run((candidate.visible[task], incumbent.visible[task]))
        return ours, theirs

    def is_vetoed(self, candidate: Harness) -> bool:
        """Pair the hidden tasks; nothing but this answer would leave the server."""
        ours = sum(sum(self.world.run(candidate.hidden)) for _ in range(PAIRS))
        theirs = sum(sum(self.world.run(self.night.champion.hidden)) for _ in range(PAIRS))
        return ours < theirs

    def keep(self, candidate: Harness, proof: float) -> None:
        """Score the champion by fresh runs; it is confirmed at once, or provisional and reviewed every third time."""
        self.record = self.measured(candidate, runs=SCORE_RUNS)
        self.night.keep(candidate, self.record.score)
        if proof >= CONFIRMED and self.world.tasks >= FEWEST_TASKS:
            self.confirmed = candidate, self.record
            return
        self.provisional += 1
        if self.provisional == REVIEW_EVERY:
            self.review()

    def review(self) -> None:
        """Pair the champion with the baseline; roll back to the last confirmed one if the baseline beats it."""
        tasks = tuple(map(str, range(self.world.tasks)))
        pairs: list[Pair] = []
        while (now := review_standing(tasks, pairs)).tasks:
            for task in now.tasks:
                ours, theirs = self.pair(int(task), self.night.champion, self.baseline)
                pairs.append(Pair(task=task, round=now.round, difference=ours - theirs))
        self.provisional = 0
        if now.state is State.CONFIRMED and self.world.tasks >= FEWEST_TASKS:
            self.confirmed = self.night.champion, self.record
        if now.state is State.BEATEN:
            self.night.champion, self.record = self.confirmed
            self.night.score = self.record.score


def evidence_night(world: World, baseline: Harness, candidates: int) -> Night:
    """Take a night under the rule of `docs/deciding.md`."""
    return EvidenceNight(world, baseline).go_through(candidates)
