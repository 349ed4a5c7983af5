"""What a task says: to the agent, in its tests and in its solution."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from autoagent_mcp.models.task import Task
from autoagent_mcp.task import canary

_FOLDERS = ("tests", "solution", "steps", "environment", "files")
_FILE_LIMIT_BYTES = 256 * 1024
"""Larger files are data, of which only the name is known."""
_KEPT_TASKS = 1024
FILE_NAME = re.compile(r"(?<![\w.-])[\w-]+(?:\.[\w-]+)*\.[A-Za-z][A-Za-z0-9]{0,5}(?![\w([-]|\.\w)")
_COMMON_STEMS = frozenset([
    "__init__", "__main__", "agent", "answer", "answers", "app", "check", "config", "conftest", "data",
    "dockerfile", "file", "foo", "index", "input", "instruction", "log", "main", "makefile", "notes", "out",
    "output", "package", "program", "pyproject", "readme", "report", "requirements", "result", "results",
    "reward", "run", "script", "server", "settings", "setup", "solution", "solve", "task", "test", "test_outputs",
    "tests", "tmp", "trajectory", "utils", "values",
])  # fmt: skip
"""Of files that anybody may have."""
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)")
_FEWEST_DIGITS = 6
"""Numbers with fewer that are not 0 at one end are shared by chance."""


class Known(NamedTuple):
    """What can be known of a task."""

    text: str
    file_names: frozenset[str]
    numbers: frozenset[str]


def known_of(task: Task) -> Known:
    """Read a task's instruction, tests, solution and environment, once for each state of them."""
    return _read(task.digest, task.folder)


def file_names(text: str) -> set[str]:
    """Return the names of files in a text but those that anybody may use."""
    return {name for name in FILE_NAME.findall(text) if PurePosixPath(name).stem.lower() not in _COMMON_STEMS}


def numbers(text: str) -> set[str]:
    """Return the numbers in a text that are too long to be there by chance."""
    return {number for number in _NUMBER.findall(text) if len(number.replace(".", "").strip("0")) >= _FEWEST_DIGITS}


@lru_cache(maxsize=_KEPT_TASKS)
def _read(digest: str, folder: Path) -> Known:  # noqa: ARG001 - the digest tells its states apart
    paths = [path for path in _paths(folder) if path.is_file() and path.name != canary.FILE]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in paths if _is_text(path))
    names = {*file_names(text), *(name for path in paths for name in file_names(path.name))}
    return Known(text, frozenset(names), frozenset(numbers(text)))


def _paths(folder: Path) -> Iterator[Path]:
    yield folder / "instruction.md"
    for name in _FOLDERS:
        yield from sorted((folder / name).rglob("*"))


def _is_text(path: Path) -> bool:
    if path.stat().st_size > _FILE_LIMIT_BYTES:
        return False
    return b"\0" not in path.read_bytes()[:1024]
