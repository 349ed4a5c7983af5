"""Candidates, experiments and decisions: what the ledger holds."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.run import Score


class Candidate(Frozen):
    """The harness files as one git tree."""

    tree: str
    """Hash of the git tree that holds the editable files alone."""
    commit: str
    """The commit under refs/autoagent/experiments/<n> that holds it; no branch moves."""
    identity: str
    """sha256 over the syntax tree of the Python files (no comments, no docstrings) and the bytes of the others."""
    complexity: int
    """Nodes in those syntax trees: what "simpler" is measured on."""


class Decision(str, Enum):
    """What became of an experiment."""

    KEEP = "keep"
    REVERT = "revert"
    CRASH = "crash"


class Verdict(Frozen):
    """What the rule says of a candidate, before anything is done."""

    decision: Decision
    reason: str


class Experiment(Frozen):
    """One described candidate with its runs and its decision."""

    n: int
    """Counted in the workspace from 0, the baseline."""
    description: str
    candidate: Candidate
    parent: str | None
    """The incumbent's tree at the time; None for the baseline."""
    runs: tuple[str, ...] = ()
    score: Score | None = None
    """Of its suite run; None while it has none."""
    decision: Decision | None = None
    reason: str = ""
    reflection: str = ""
    kept_commit: str | None = None
    """The commit on the branch, where it was kept."""
    started_at: datetime
    decided_at: datetime | None = None


class Comparison(Frozen):
    """A run beside the incumbent's, task by task."""

    solved: tuple[str, ...]
    """Tasks that pass now and did not before."""
    broken: tuple[str, ...]
    passed_before: int
    passed_now: int
    avg_before: float | None
    avg_now: float | None
    complexity_before: int
    complexity_now: int
