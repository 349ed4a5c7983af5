""".harborignore: which files of tests/ and solution/ stay out of the sandbox.

Patterns are those of .gitignore (https://git-scm.com/docs/gitignore), read by `pathspec`. A file holds for its folder
and all below; it is looked for in tests/, solution/, steps/<name>/tests/ and steps/<name>/solution/, and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pathspec import GitIgnoreSpec

_FILE = ".harborignore"
_SCOPES = {"tests", "solution"}
_STEPS = "steps"
_STEP_DEPTH = 3
"""steps/<name>/tests: how many parts of a path lead to a step's scope."""


def is_ignored(root: Path, path: Path) -> bool:
    """Tell whether a file or folder of the task below `root` stays out, for its own name or as the target of a link.

    Raises:
        OSError: A .harborignore cannot be read.
    """
    place = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow the link that is asked about
    resolved = path.resolve()
    is_link = resolved != place and resolved.is_relative_to(root)
    return _is_out(root, place) or (is_link and _is_out(root, resolved))


def _is_out(root: Path, path: Path) -> bool:
    if path.name == _FILE:
        return True
    scope = _scope(root, path)
    if scope is None:
        return False
    return any(_is_matched(scope, each) for each in (*reversed(path.parents), path) if each.is_relative_to(scope))


def _scope(root: Path, path: Path) -> Path | None:
    """Return tests/, solution/, or a step's own, where a path lies in one."""
    parts = path.relative_to(root).parts
    if parts and parts[0] in _SCOPES:
        return root / parts[0]
    if len(parts) >= _STEP_DEPTH and parts[0] == _STEPS and parts[2] in _SCOPES:
        return root.joinpath(*parts[:_STEP_DEPTH])
    return None


def _is_matched(scope: Path, path: Path) -> bool:
    """Ask every file from the scope down to the path's own folder; the last one that says something decides."""
    is_out = False
    for folder in _from(scope, path.parent):
        name = path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "")
        found = _rules(folder).check_file(name).include
        is_out = is_out if found is None else found
    return is_out


def _from(scope: Path, folder: Path) -> Iterator[Path]:
    yield from (each for each in (*reversed(folder.parents), folder) if each.is_relative_to(scope))


def _rules(folder: Path) -> GitIgnoreSpec:
    path = folder / _FILE
    return GitIgnoreSpec.from_lines(path.read_text(encoding="utf-8").splitlines() if path.is_file() else ())
