"""What a candidate seems to know of a task."""

from __future__ import annotations

from enum import Enum

from autoagent_mcp.models.base import Frozen


class FindingKind(str, Enum):
    """What it was found to hold."""

    TASK_NAME = "task name"
    FILE_NAME = "file name"
    LITERAL = "literal"
    ENCODED = "encoded"
    """Any of these in disguise: encoded, reversed or put together from pieces."""
    TOO_LARGE = "too large"
    """The file was not looked at: prompts and code are not of that size, what is copied from somewhere is."""


class Finding(Frozen):
    """One thing that a candidate and a task have in common."""

    path: str
    """The candidate's file."""
    what: str
    """The common text, undisguised and cut; empty of a file that was not looked at."""
    task: str
    """Empty of a file that was not looked at."""
    kind: FindingKind

    @property
    def sentence(self) -> str:
        """Say it to whoever decides."""
        said = {
            FindingKind.TASK_NAME: f"names the task {self.task}",
            FindingKind.FILE_NAME: f"names {self.what!r}, a file of the task {self.task}",
            FindingKind.LITERAL: f"holds {self.what!r}, which also stands in the task {self.task}",
            FindingKind.ENCODED: f"holds {self.what!r} in disguise, which also stands in the task {self.task}",
            FindingKind.TOO_LARGE: "is too large to be compared with the tasks",
        }
        return f"{self.path} {said[self.kind]}."
