"""Which workspaces a hook is about."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

MARKS = ("autoagent.toml", ".autoagent")
"""A folder with one of these is a workspace."""


def above(path: Path) -> Path | None:
    """Return the workspace that `path` is or lies in."""
    for folder in (path, *path.parents):
        if any((folder / mark).exists() for mark in MARKS):
            return folder
    return None


def workspaces(told: str | None, data: Mapping[str, object]) -> list[Path]:
    """Return the workspaces of the client: the one it was told, that of its folder, that of its project."""
    if told is not None:
        return [Path(told).resolve()]
    starts = (text(data, "cwd"), os.environ.get("CLAUDE_PROJECT_DIR", ""))
    found = (above(Path(start).resolve()) for start in starts if start)
    return list(dict.fromkeys(folder for folder in found if folder))


def text(data: Mapping[str, object], key: str) -> str:
    """Return a field that should be text; empty where it is missing or something else."""
    value = data.get(key)
    return value if isinstance(value, str) else ""
