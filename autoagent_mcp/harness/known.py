"""What a task says: to the agent, in its tests and in its solution."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from autoagent_mcp.models.task import Task
from autoagent_mcp.task import canary

_FOLDERS = ("tests", "solution", "steps", "environment", "files")
_LIMIT_BYTES = 512 * 1024
"""Of what a task says, the instruction first and the environment last; of files beyond only the name is known."""
_KEPT_TASKS = 1024
_WORD = re.compile(r"\w+")
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
    words: frozenset[str]
    """Of the text; whether all of a line's are among them is soon seen."""
    file_names: frozenset[str]
    numbers: frozenset[str]


def known_of(task: Task) -> Known:
    """Read a task's instruction, tests, solution and environment, once for each state of them."""
    return _read(task.digest, task.folder)


def holds(known: Known, words: set[str], line: str) -> bool:
    """Tell whether a line stands in a task; `words` are the line's."""
    return words <= known.words and line in known.text


def words(text: str) -> set[str]:
    """Return the words of a text."""
    return set(_WORD.findall(text))


def file_names(text: str) -> set[str]:
    """Return the names of files in a text but those that anybody may use."""
    return {name for name in FILE_NAME.findall(text) if PurePosixPath(name).stem.lower() not in _COMMON_STEMS}


def numbers(text: str) -> set[str]:
    """Return the numbers in a text that are too long to be there by chance."""
    return {number for number in _NUMBER.findall(text) if len(number.replace(".", "").strip("0")) >= _FEWEST_DIGITS}


@lru_cache(maxsize=_KEPT_TASKS)
def _read(digest: str, folder: Path) -> Known:  # noqa: ARG001 - the digest tells its states apart
    paths = [path for path in _paths(folder) if path.is_file() and path.name != canary.FILE]
    text = "\n".join(_texts(paths))
    names = {*file_names(text), *(name for path in paths for name in file_names(path.name))}
    return Known(text, frozenset(words(text)), frozenset(names), frozenset(numbers(text)))


def _paths(folder: Path) -> Iterator[Path]:
    yield folder / "instruction.md"
    for name in _FOLDERS:
        yield from sorted((folder / name).rglob("*"))


def _texts(paths: Sequence[Path]) -> Iterator[str]:
    left = _LIMIT_BYTES
    for path in paths:
        if path.stat().st_size <= left and b"\0" not in (data := path.read_bytes()):
            left -= len(data)
            yield data.decode(errors="replace")
