"""What the ledger's entries add up to: experiments, runs, the incumbent, the tasks' histories.

It is kept in memory and grows with each entry, so that an answer takes the same time whatever the ledger's length.
Pure: the same entries give the same book.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

from autoagent_mcp.experiment import prediction
from autoagent_mcp.ledger import Entry
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.experiment import (
    Began,
    Decided,
    Decision,
    Experiment,
    Judged,
    Judgement,
    Measured,
    Outcome,
    PredictionScore,
    TaskHistory,
)
from autoagent_mcp.models.run import Run, RunKind, RunState, Score, Suite, TaskScore
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Arm

BEGAN = "began"
TRIED = "tried"
MEASURED = "measured"
JUDGED = "judged"
DECIDED = "decided"
KINDS = (BEGAN, MEASURED, JUDGED, DECIDED)
"""The ledger's entries that the book is made of."""


class RunRecord(Frozen):
    """A run that ended, without its trials and its score's tasks: both are in the ledger."""

    run: Run
    experiment: int
    score: Score
    crash: str
    seq: int
    """The entry that has the score."""
    trials_seq: int
    """The entry that has the trials."""
    prediction: PredictionScore | None = None
    """What came of its prediction, where it had one and is complete."""

    @property
    def is_measured(self) -> bool:
        """Whether every trial of it measured something."""
        return self.run.state is RunState.COMPLETE and not self.score.unmeasured


@dataclass
class _Totals:
    """A task's trials in all runs."""

    passed: int = 0
    attempts: int = 0
    cost_usd: float | None = 0.0
    duration_sec: float = 0.0


@dataclass
class _Fresh:
    """What a task gave in trials that had no part in choosing the harness."""

    passed: float = 0
    rewards: float = 0
    attempts: int = 0

    def add(self, task: TaskScore, sign: int) -> None:
        self.passed += sign * task.gained(by_reward=False)
        self.rewards += sign * task.gained(by_reward=True)
        self.attempts += sign * (task.attempts - task.unmeasured)


_Key = tuple[int, str]
"""An experiment and the fingerprint of a suite."""


class _Part(NamedTuple):
    """What a run adds."""

    tasks: tuple[TaskScore, ...]
    fresh: Mapping[_Key, tuple[TaskScore, ...]]


class Tally(Frozen):
    """What a task gave in trials that had no part in choosing the harness."""

    gained: float = 0
    """How many passed, or their rewards added up."""
    attempts: int = 0


class Book:
    """The ledger, read."""

    def __init__(self) -> None:
        self.experiments: list[Experiment] = []
        self.runs: dict[str, RunRecord] = {}
        self._totals: defaultdict[str, _Totals] = defaultdict(_Totals)
        self.task_scores: dict[int, str] = {}
        """Mean reward by task of each experiment's last suite run, as JSON."""
        self.last_decided: Experiment | None = None
        self.kept = 0
        """How many experiments were kept, the baseline among them."""
        self._lineage: list[int] = []
        """What was kept, in that order, without what was rolled back since; the last one is the incumbent."""
        self._by_identity: dict[str, int] = {}
        self._by_tree: dict[str, int] = {}
        self._suite_runs: dict[tuple[int, str], str] = {}
        self._duels: dict[tuple[RunKind, int, int, str], str] = {}
        self._judgements: dict[str, Judged] = {}
        self.pending: str | None = None
        """The duel that was judged last, until that is carried out or something else is decided."""
        self.provisional = 0
        """How many were kept provisionally since the last review."""
        self._scores: dict[str, Score] = {}
        """Of the fresh trials that each duel ended with, where it came to that."""
        self._fresh: dict[_Key, defaultdict[str, _Fresh]] = {}
        self._suites: dict[str, Suite] = {}
        self._open: dict[str, _Part] = {}
        """What was counted of runs that may be taken up again."""
        self._changed: set[int] = set()

    @property
    def incumbent(self) -> Experiment | None:
        """The harness kept last; None before the baseline is measured."""
        return self.experiments[self._lineage[-1]] if self._lineage else None

    @property
    def baseline(self) -> Experiment:
        """The first harness that was kept; a first run that crashed is none."""
        return self.experiments[self._lineage[0]]

    def lineage(self, last: int = 1_000_000) -> tuple[Experiment, ...]:
        """The baseline and the last so many of the changes on which the incumbent stands, oldest first."""
        return tuple(self.experiments[n] for n in (*self._lineage[:1], *self._lineage[1:][-last:]))

    @property
    def changes(self) -> int:
        """How many changes the incumbent stands on."""
        return max(len(self._lineage) - 1, 0)

    @property
    def unconfirmed(self) -> tuple[Experiment, ...]:
        """What was kept since the last harness that was kept for good, newest first; also what falls just now."""
        newest_first = (self.experiments[n] for n in reversed(self._lineage))
        return tuple(takewhile(lambda one: one.is_provisional or one.decision is not Decision.KEEP, newest_first))

    @property
    def last_confirmed(self) -> Experiment:
        """The harness that was kept for good last; the baseline at least."""
        return self.experiments[self._lineage[-1 - len(self.unconfirmed)]]

    @property
    def backend(self) -> str:
        """What the baseline was measured on; "" before it is measured."""
        measured = (record.run for record in self.runs.values() if record.is_measured)
        return next((run.suite.backend for run in measured if run.kind is RunKind.SUITE), "")

    def by_identity(self, identity: str) -> Experiment | None:
        """Find the experiment whose candidate does the same."""
        found = self._by_identity.get(identity)
        return None if found is None else self.experiments[found]

    def by_tree(self, tree: str) -> Experiment | None:
        """Find the experiment of a candidate's tree."""
        found = self._by_tree.get(tree)
        return None if found is None else self.experiments[found]

    def run_of(self, experiment: int, fingerprint: str) -> RunRecord | None:
        """Return an experiment's last run of a suite, or of the tasks of a spot check, by its fingerprint."""
        found = self._suite_runs.get((experiment, fingerprint))
        return None if found is None else self.runs[found]

    def duel_of(self, kind: RunKind, experiment: int, opponent: int, fingerprint: str) -> RunRecord | None:
        """Return the run that puts an experiment beside another one on a suite; there is one for each such pair."""
        found = self._duels.get((kind, experiment, opponent, fingerprint))
        return None if found is None else self.runs[found]

    def judged(self, run: str) -> Judgement | None:
        """Return what a duel showed."""
        found = self._judgements.get(run)
        return found.judgement if found else None

    def may_go_on(self, record: RunRecord) -> bool:
        """Tell whether a run that is complete may be taken up again: a duel that settled nothing yet, or never ends."""
        judgement, duel = self.judged(record.run.id), record.run.duel
        open_outcome = Outcome.PROVISIONAL if record.run.kind is RunKind.REVIEW else Outcome.UNDECIDED
        return duel is not None and (judgement is None or duel.is_fixed_size or judgement.outcome is open_outcome)

    def predicted(self, run: str) -> PredictionScore | None:
        """Return what came of a run's prediction."""
        found = self.runs.get(run)
        return found.prediction if found else None

    def tallies(self, experiment: int, fingerprint: str, *, by_reward: bool = False) -> dict[str, Tally]:
        """Add up by task an experiment's fresh trials on a suite.

        Those are the baseline's, those beside later candidates, and those after it was kept: none of them had a part in
        choosing it.
        """
        found: Mapping[str, _Fresh] = self._fresh.get((experiment, fingerprint), {})
        return {
            task: Tally(gained=fresh.rewards if by_reward else fresh.passed, attempts=fresh.attempts)
            for task, fresh in found.items()
        }

    def history(self, task: Task) -> TaskHistory:
        """Add up a task's trials in all runs."""
        totals = self._totals.get(task.name, _Totals())
        is_known = totals.cost_usd is not None
        return TaskHistory(
            task=task,
            passed=totals.passed,
            attempts=totals.attempts,
            avg_cost_usd=(totals.cost_usd or 0.0) / max(1, totals.attempts) if is_known else None,
            avg_duration_sec=totals.duration_sec / max(1, totals.attempts),
        )

    def apply(self, entry: Entry) -> None:
        """Take in the next entry."""
        if entry.kind == BEGAN:
            self._begin(Began.model_validate_json(entry.body), entry)
        elif entry.kind == MEASURED:
            self._measure(Measured.model_validate_json(entry.body), entry)
        elif entry.kind == JUDGED:
            self._judge(Judged.model_validate_json(entry.body))
        elif entry.kind == DECIDED:
            self._decide(Decided.model_validate_json(entry.body), entry)

    def _begin(self, began: Began, entry: Entry) -> None:
        self.experiments.append(
            Experiment(
                n=began.n,
                description=began.description,
                candidate=began.candidate,
                parent=began.parent,
                base_commit=began.base_commit,
                kind_of_change=began.kind_of_change,
                author=began.author,
                started_at=entry.at,
            )
        )
        self._changed.add(began.n)
        self._by_identity[began.candidate.identity] = began.n
        self._by_tree[began.candidate.tree] = began.n

    def _measure(self, measured: Measured, entry: Entry) -> None:
        suite = self._suites.setdefault(measured.run.suite.fingerprint, measured.run.suite)
        run = measured.run.model_copy(update={"suite": suite})
        score = measured.score.model_copy(update={"tasks": ()})
        record = RunRecord(
            run=run,
            experiment=measured.experiment,
            score=score,
            crash=measured.crash,
            seq=entry.seq,
            trials_seq=measured.trials_seq,
            prediction=_prediction_score(measured),
        )
        self.runs[run.id] = record
        self._place(record)
        self._count_again(measured)
        experiment = self.experiments[measured.experiment]
        changes: dict[str, object] = {
            "runs": tuple(dict.fromkeys((*experiment.runs, run.id))),
            "cheats": tuple(dict.fromkeys((*experiment.cheats, *measured.cheats))),
        }
        if run.kind is RunKind.SUITE:
            changes["description"] = run.description  # the hypothesis; a spot check before it said less
        if measured.comparison is not None:
            changes["comparison"] = measured.comparison
        if record.prediction is not None:
            changes["prediction"] = record.prediction
        if run.kind is RunKind.SUITE and record.is_measured:
            changes["score"] = score
            self.task_scores[experiment.n] = _task_scores(measured.score)
        self._update(experiment, changes)

    def _place(self, record: RunRecord) -> None:
        run, number, fingerprint = record.run, record.experiment, record.run.suite.fingerprint
        if run.duel is None:
            self._suite_runs[number, fingerprint] = run.id
        else:
            self._duels[run.kind, number, run.duel.opponent, fingerprint] = run.id

    def _fresh_in(self, measured: Measured) -> dict[int, tuple[TaskScore, ...]]:
        """Return by experiment the trials of a run that had no part in choosing its harness."""
        run, experiment = measured.run, self.experiments[measured.experiment]
        if run.duel is not None:
            chosen = Arm.CANDIDATE if run.kind is RunKind.REVIEW else Arm.SCORE
            arms = measured.arms
            return {run.duel.opponent: arms[Arm.INCUMBENT].tasks, experiment.n: arms[chosen].tasks}
        is_chosen = experiment.parent is None or experiment.decision is Decision.KEEP
        return {experiment.n: measured.score.tasks} if run.kind is RunKind.SUITE and is_chosen else {}

    def _judge(self, judged: Judged) -> None:
        self._judgements[judged.run] = judged
        record = self.runs[judged.run]
        if record.run.duel is None or not record.run.duel.is_fixed_size:  # that one decides nothing
            self.pending = judged.run
        if record.is_measured and not self.may_go_on(record):
            self._open.pop(judged.run, None)
        if record.run.kind is RunKind.REVIEW:
            self.provisional = 0
        else:
            self._update(self.experiments[record.experiment], {"judgement": judged.judgement})

    def _count_again(self, measured: Measured) -> None:
        """Count a run's trials; those of a run that is taken up again were counted before."""
        record, suite = self.runs[measured.run.id], measured.run.suite.fingerprint
        if record.run.id in self._open:
            self._count(self._open.pop(record.run.id), -1)
        fresh = {(number, suite): tasks for number, tasks in self._fresh_in(measured).items()}
        part = _Part(measured.score.tasks, fresh)
        self._count(part, 1)
        if not record.is_measured or self.may_go_on(record):
            self._open[record.run.id] = part
        if measured.arms and measured.arms[Arm.SCORE].trials:
            self._scores[record.run.id] = measured.arms[Arm.SCORE]

    def _decide(self, decided: Decided, entry: Entry) -> None:
        experiment = self.experiments[decided.experiment]
        changes = decided.model_dump(exclude={"experiment", "score_run", "author"})
        changes |= {"decided_at": entry.at, "decided_by": decided.author}
        if (score := self._scores.get(decided.score_run)) is not None:
            changes["score"] = score.model_copy(update={"tasks": ()})
            self.task_scores[experiment.n] = _task_scores(score)
        self._update(experiment, changes)
        self.last_decided = self.experiments[decided.experiment]
        if decided.decision is Decision.KEEP or experiment.decision is not Decision.KEEP:  # what falls is but a part
            self.pending = None
        self.kept += (decided.decision is Decision.KEEP) - (experiment.decision is Decision.KEEP)
        if decided.decision is Decision.KEEP:
            self._succeed(decided)

    def _succeed(self, decided: Decided) -> None:
        """Put what was kept in the incumbent's place; what is reverted by now was rolled back."""
        while self._lineage and self.experiments[self._lineage[-1]].decision is not Decision.KEEP:
            self._lineage.pop()
        if self._lineage[-1:] != [decided.experiment]:
            self._lineage.append(decided.experiment)
            self.provisional += decided.is_provisional

    def take_changed(self) -> list[Experiment]:
        """Return the experiments that changed since this was asked last, in order."""
        changed, self._changed = sorted(self._changed), set[int]()
        return [self.experiments[n] for n in changed]

    def _update(self, experiment: Experiment, changes: Mapping[str, object]) -> None:
        self._changed.add(experiment.n)
        self.experiments[experiment.n] = experiment.model_copy(update=changes)

    def _count(self, part: _Part, sign: int) -> None:
        for key, tasks in part.fresh.items():
            found = self._fresh.setdefault(key, defaultdict(_Fresh))
            for task in tasks:
                found[task.task].add(task, sign)
        for task in part.tasks:
            totals = self._totals[task.task]
            totals.passed += sign * task.passed
            totals.attempts += sign * (task.attempts - task.unmeasured)
            totals.duration_sec += sign * task.duration_sec
            if totals.cost_usd is not None:
                totals.cost_usd = None if task.cost_usd is None else totals.cost_usd + sign * task.cost_usd


def _prediction_score(measured: Measured) -> PredictionScore | None:
    if measured.run.prediction is None or measured.comparison is None:
        return None
    return prediction.score(measured.run.prediction, measured.comparison)


def _task_scores(score: Score) -> str:
    """Return JSON; piece by piece, as a long ledger has many of them."""
    parts = (f"{_quoted(task.task)}: {_rounded(task.avg_reward)}" for task in score.tasks)
    return f"{{{', '.join(parts)}}}"


_quoted = lru_cache(json.dumps)


def _rounded(reward: float | None) -> str:
    return "null" if reward is None else repr(round(reward, 4))
