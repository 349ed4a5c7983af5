"""Candidates, experiments and decisions: what the ledger holds."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from autoagent_mcp.models.author import Author
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.run import Run, Score
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Arm, Trial


class Candidate(Frozen):
    """The harness files as one git tree."""

    tree: str
    """Hash of the git tree that holds the editable files alone."""
    commit: str
    """The commit under refs/autoagent/experiments/<n> that holds it; no branch moves."""
    identity: str
    """sha256 over the syntax trees of the Python files (no comments) and the bytes of the others."""
    complexity: int
    """Nodes in those syntax trees, without docstrings: what "simpler" is measured on."""


class Decision(str, Enum):
    """What became of an experiment."""

    KEEP = "keep"
    REVERT = "revert"
    CRASH = "crash"


class ChangeKind(str, Enum):
    """Which part of the harness a candidate changes."""

    PROMPT = "prompt"
    TOOLS = "tools"
    LOOP = "loop"
    """How the agent is made and run: everything else in agent.py that is code."""
    SETTINGS = "settings"
    FILES = "files"
    """What lies in .agent/ beside agent.py."""
    LIBRARIES = "libraries"


class Verdict(Frozen):
    """What the rule says of a candidate, before anything is done."""

    decision: Decision
    reason: str


class Outcome(str, Enum):
    """What a duel led to."""

    KEPT = "kept"
    PROVISIONAL = "kept (provisional)"
    """Kept on evidence that luck reaches now and then; tested against the baseline again."""
    REFUSED = "refused"
    UNDECIDED = "undecided"
    """Too little was measured to say; asking again adds to it."""


class Judgement(Frozen):
    """What a duel showed."""

    outcome: Outcome
    reason: str
    evidence: float
    wins: int
    """Pairs in which the candidate did better."""
    losses: int
    ties: int
    difference_points: float
    """Candidate minus opponent, in points of the pass rate, with its 95 % interval."""
    low_points: float
    high_points: float
    smallest_effect_points: float | None
    """The smallest gain that this suite would have shown in 8 of 10 cases; None: none."""
    trials: int
    cost_usd: float | None
    is_worse_on_hidden: bool | None = None
    """Of a review: whether more pairs were lost than won on the hidden tasks; None where they were not asked."""


class Comparison(Frozen):
    """A run beside the incumbent's, task by task."""

    solved: tuple[str, ...]
    """Tasks that pass now and did not before; with several attempts, that pass more often."""
    broken: tuple[str, ...]
    passed_before: int
    passed_now: int
    avg_before: float | None
    avg_now: float | None
    complexity_before: int
    complexity_now: int


class Forecast(Frozen):
    """Tasks that were expected to change in one way, beside those that did."""

    hits: tuple[str, ...]
    """Expected, and did."""
    misses: tuple[str, ...]
    """Expected, and did not."""
    surprises: tuple[str, ...]
    """Did, and were not expected to."""


class PredictionScore(Frozen):
    """What came of a run's prediction, beside the incumbent's run."""

    fixed: Forecast
    """Of the tasks that were to become solved."""
    broken: Forecast


class Experiment(Frozen):
    """One described candidate with its runs and its decision."""

    n: int
    """Counted in the workspace from 0, the baseline."""
    description: str
    candidate: Candidate
    parent: str | None
    """The incumbent's tree at the time; None for the baseline."""
    kind_of_change: tuple[ChangeKind, ...] = ()
    """Which parts differ from that incumbent's."""
    author: Author | None = None
    """Who began it; None where the ledger does not say."""
    runs: tuple[str, ...] = ()
    score: Score | None = None
    """Of its last finished suite run, without its tasks, of which there are many; None while it has none."""
    judgement: Judgement | None = None
    """Of its last duel with an incumbent."""
    comparison: Comparison | None = None
    """With the incumbent at the time: of its last whole suite run or duel, whichever came later."""
    prediction: PredictionScore | None = None
    """Of its last suite run that had one."""
    decision: Decision | None = None
    reason: str = ""
    """Why it was kept, or what was learnt from it."""
    is_provisional: bool = False
    """Kept, and neither confirmed nor rolled back since."""
    cheats: tuple[str, ...] = ()
    """What shows that it cheats; where there is anything it is never kept."""
    reflection: str = ""
    base_commit: str
    """The commit that the branch was at when it began."""
    kept_commit: str | None = None
    """The commit on the branch, where it was kept."""
    started_at: datetime
    decided_at: datetime | None = None
    decided_by: Author | None = None
    """Who asked for the decision; None where the server took it, and where the ledger does not say."""


class Asked(Frozen):
    """What became of the wish to keep a change."""

    experiment: Experiment
    """With its decision, or the judgement that speaks against it."""
    run: Run | None
    """The run that goes on to decide it; None where all is decided."""


class Began(Frozen):
    """Ledger entry `began`: an experiment with its candidate."""

    n: int
    description: str
    candidate: Candidate
    parent: str | None
    base_commit: str
    kind_of_change: tuple[ChangeKind, ...] = ()
    author: Author | None = None


class Tried(Frozen):
    """Ledger entry `tried`: a run's trials. Apart from the run, so that they need not be read to know how it went."""

    run: str
    trials: tuple[Trial, ...]


class Measured(Frozen):
    """Ledger entry `measured`: a run that ended; one that is taken up again and ends again is entered again."""

    experiment: int
    run: Run
    """Without its trials."""
    trials_seq: int
    """The entry that has them."""
    score: Score
    arms: dict[Arm, Score] = {}
    """Of a duel: each arm's part of it."""
    comparison: Comparison | None = None
    """Of a suite run with the incumbent's, of a confirm run between its arms; None where that says nothing."""
    crash: str
    """Why it shows a crash of the harness; empty where it does not."""
    cheats: tuple[str, ...] = ()


class Judged(Frozen):
    """Ledger entry `judged`: what a duel showed. Another one for the same run stands in its place."""

    run: str
    judgement: Judgement


class Decided(Frozen):
    """Ledger entry `decided`; of several for one experiment the last one stands."""

    experiment: int
    decision: Decision
    reason: str
    reflection: str = ""
    kept_commit: str | None = None
    is_provisional: bool = False
    score_run: str = ""
    """The run whose score is the experiment's from now on; empty where it is as it was."""
    author: Author | None = None


class TaskHistory(Frozen):
    """A task with all its trials in this workspace."""

    task: Task
    passed: int
    attempts: int
    """Trials that counted."""
    avg_cost_usd: float | None
    """None where the price of one of them is unknown."""
    avg_duration_sec: float


class Brief(Frozen):
    """Where we are, enough to go on from with an empty context."""

    text: str
    next: str
