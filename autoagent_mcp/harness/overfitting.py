"""What a candidate seems to know of the tasks. It is shown to whoever decides, and decides nothing.

Looked for above the boundary of agent.py and in .agent/: names of tasks, and texts that also stand in a task's
instruction, tests or solution, plain or in base64. What program.md says may be in a harness.
"""

from __future__ import annotations

import ast
import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from autoagent_mcp.harness import adapter
from autoagent_mcp.models.task import Task

TEXT_CHARS = 20
"""Shorter texts are shared by chance."""
HIDDEN_CHARS = 6
"""Nobody encodes a text without a reason, so a shorter one counts there."""
_FILE_LIMIT_BYTES = 1_000_000
_ENCODED = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")


def flags(files: Mapping[str, bytes], tasks: Sequence[Task], allowed: str) -> tuple[str, ...]:
    """Name what the candidate shares with tasks, one sentence for each place.

    Args:
        files: The candidate's files by path.
        tasks: The tasks it is measured on.
        allowed: The text of program.md.
    """
    known = {task.name: _text_of(task) for task in tasks}
    found: list[str] = []
    for path, content in sorted(files.items()):
        text = content.decode(errors="replace").partition(adapter.BOUNDARY)[0]
        found += [f"{path} names the task {name}." for name in known if name not in allowed and _names(text, name)]
        for piece in _pieces(path, text):
            if piece not in allowed and (task := next((name for name in known if piece in known[name]), None)):
                found.append(f"{path} holds {piece[:60]!r}, which also stands in the task {task}.")
    return tuple(dict.fromkeys(found))


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _text_of(task: Task) -> str:
    paths = (path for folder in ("tests", "solution", "steps") for path in sorted((task.folder / folder).rglob("*")))
    files = [path for path in paths if path.is_file() and path.stat().st_size <= _FILE_LIMIT_BYTES]
    return "\n".join([task.instruction, *(path.read_text(encoding="utf-8", errors="replace") for path in files)])


def _pieces(path: str, text: str) -> Iterator[str]:
    """Yield the lines of its texts that are long enough, and what is encoded in them."""
    for literal in _literals(text) if Path(path).suffix == ".py" else [text]:
        yield from (line.strip() for line in literal.splitlines() if len(line.strip()) >= TEXT_CHARS)
        for encoded in _ENCODED.findall(literal):
            yield from (line.strip() for line in _decoded(encoded).splitlines() if len(line.strip()) >= HIDDEN_CHARS)


def _literals(source: str) -> list[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return [source]
    values = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [
        value.decode(errors="replace") if isinstance(value, bytes) else value
        for value in values
        if isinstance(value, (str, bytes))
    ]


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
