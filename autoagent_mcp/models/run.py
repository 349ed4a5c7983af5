"""Many trials of one candidate, and what they add up to."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from autoagent_mcp.models.author import Author
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.trial import Trial, Usage


class RunKind(str, Enum):
    """What a run is for."""

    SUITE = "suite"
    SPOT = "spot"
    CONFIRM = "confirm"
    """The candidate beside the incumbent, in fresh trials: what decides whether it is kept."""
    REVIEW = "review"
    """The incumbent beside the baseline."""


class RunState(str, Enum):
    """How far a run has come."""

    RUNNING = "running"
    COMPLETE = "complete"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """The server ended in the middle; the finished trials are on disk."""
    CUT = "cut"
    """A budget was used up before it was complete; `error` says which."""
    FAILED = "failed"
    """The harness could not even be imported, or its sandbox could not start; `error` says why."""


class Excluded(Frozen):
    """A task that is not in the suite, and why."""

    task: str
    reasons: tuple[str, ...]


class Suite(Frozen):
    """What is measured together."""

    tasks: tuple[str, ...]
    attempts: int = 1
    fingerprint: str
    """sha256 over the tasks' digests, the attempts, model, backend and limits: two runs with the same one compare."""
    backend: str
    model: str
    excluded: tuple[Excluded, ...] = ()
    notices: tuple[str, ...] = ()


class TaskScore(Frozen):
    """One task's trials in a run, added up."""

    task: str
    attempts: int
    passed: int
    unmeasured: int
    avg_reward: float | None
    """Mean over the trials that count; None where none does."""
    cost_usd: float | None = 0.0
    """Of all its trials; None where a price is unknown."""
    duration_sec: float = 0.0
    """Of all its trials, added up."""

    def gained(self, *, by_reward: bool) -> float:
        """Return what its trials are worth together: as many as passed, or their rewards, as a mean from 0 to 1."""
        if not by_reward:
            return self.passed
        return min(1.0, max(0.0, self.avg_reward or 0.0)) * (self.attempts - self.unmeasured)


class Score(Frozen):
    """What a run adds up to."""

    trials: int
    passed: int
    unmeasured: int
    avg_score: float | None
    """Mean reward over the trials that count, None where none does."""
    tasks: tuple[TaskScore, ...]
    usage: Usage


class Duel(Frozen):
    """What a confirm or review run has to settle: its candidate beside an earlier harness, pair by pair."""

    opponent: int
    """The experiment beside which it is tried: the incumbent, or in a review the baseline."""
    live: tuple[str, ...]
    """Tasks that are paired in every round."""
    settled: tuple[str, ...] = ()
    """Tasks that the incumbent always, or never, passes, and the candidate so far too: paired once, at the end."""
    threshold: float
    """The evidence that keeps."""
    rounds: int
    """How many rounds were granted so far."""
    by_reward: bool = False
    """Whether rewards are compared, and not passes."""
    is_fixed_size: bool = False
    """Whether all rounds are tried, whatever they show: then the difference leans to neither side. Of a review."""
    margin: float = 0.0
    """By how much of the pass rate a simpler harness may be worse; 0 where it must be better."""
    most_trials: int
    reflection: str = ""
    """The client's words for the keep."""
    author: Author | None = None
    """Who asked for the keep."""


class Prediction(Frozen):
    """What a suite run is expected to change, said before it began."""

    fixed: tuple[str, ...] = ()
    """Tasks that are expected to become solved."""
    broken: tuple[str, ...] = ()


class Run(Frozen):
    """The trials of one candidate on a suite."""

    id: str
    """Four digits, counted in the workspace: "0001"."""
    kind: RunKind
    description: str
    candidate: str
    """The candidate's tree hash."""
    suite: Suite
    state: RunState
    started_at: datetime
    finished_at: datetime | None = None
    trials: tuple[Trial, ...] = ()
    error: str = ""
    is_harness_broken: bool = False
    """Whether `error` is the harness's own: it could not be imported."""
    notices: tuple[str, ...] = ()
    duel: Duel | None = None
    """Of a confirm or review run."""
    prediction: Prediction | None = None
    """Of a suite run."""
    spent: Usage = Usage()
    """What all its model calls took: verifiers' too, and those of trials that were cancelled, killed or tried again.
    While it goes on, what they took before it was taken up again."""
    duration_sec: float = 0.0
    """For how long it went on, all its sittings added up."""

    @property
    def planned_trials(self) -> int:
        """How many trials it has when it is complete; of a duel, how many at most."""
        return self.duel.most_trials if self.duel else len(self.suite.tasks) * self.suite.attempts


class Progress(Frozen):
    """How far a run is, for whoever waits."""

    run: str
    done: int
    total: int
    passed: int
    cost_usd: float | None
