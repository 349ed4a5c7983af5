"""What is watched in a workspace, and what the ledger holds of it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from autoagent_mcp.models.base import Frozen


class Kind(str, Enum):
    """What kind of thing is watched."""

    LEDGER = "ledger"
    REF = "ref"
    SETTINGS = "settings"
    TASK = "task"
    HIDDEN = "hidden"
    """All hidden tasks together: neither their names nor how many changed is told."""
    PACKAGE = "package"


class Thing(Frozen):
    """Something that is watched, as it was found."""

    kind: Kind
    name: str = ""
    """A file's path, a task's or a ref's name, an entry's number; empty for hidden tasks."""
    digest: str = ""
    """Sixteen hex digits of a sha256, or a ref's commit; empty where it is gone, and for a ledger's entry."""


class Watched(Frozen):
    """Ledger entry `watched`: how everything was before anything was measured."""

    things: tuple[Thing, ...]


class Tampered(Frozen):
    """Ledger entry `tampered`: what was changed from outside, as it was found."""

    things: tuple[Thing, ...]


class Accepted(Frozen):
    """Ledger entry `accepted`: what a person accepted. It reaches the server as a file in the user's state folder."""

    things: tuple[Thing, ...]
    """As the person saw them; what was changed once more since is not among it."""
    said_at: datetime
