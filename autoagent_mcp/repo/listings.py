"""What git lists, read."""

from __future__ import annotations

from autoagent_mcp.models.base import Frozen


class Listed(Frozen):
    """A file in a tree or in the index."""

    mode: str
    sha: str
    path: str


def split(listed: bytes) -> list[bytes]:
    """Split what git lists with -z."""
    return [row for row in listed.split(b"\0") if row]


def listed_in_tree(row: bytes) -> Listed:
    """Read a row of git ls-tree: mode, type and sha with a space between, a tab, the path."""
    head, _, path = row.partition(b"\t")
    mode, _, sha = head.decode().split(" ")
    return Listed(mode=mode, sha=sha, path=path.decode(errors="surrogateescape"))


def listed_in_index(row: bytes) -> Listed:
    """Read a row of git ls-files --stage: mode, sha and stage with a space between, a tab, the path."""
    head, _, path = row.partition(b"\t")
    mode, sha, _ = head.decode().split(" ")
    return Listed(mode=mode, sha=sha, path=path.decode(errors="surrogateescape"))
