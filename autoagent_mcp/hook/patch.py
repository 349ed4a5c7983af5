"""Codex's patches: which files one touches, and what becomes of them.

The format, between `*** Begin Patch` and `*** End Patch`: sections `*** Add File: PATH` (lines with `+`), `*** Delete
File: PATH` and `*** Update File: PATH`, perhaps with `*** Move to: PATH`, whose hunks begin with `@@` and perhaps a
line to look from, and have lines with ` `, `-` and `+`. (Codex's own description of its tool apply_patch.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

_ADD, _DELETE, _UPDATE, _MOVE = "*** Add File: ", "*** Delete File: ", "*** Update File: ", "*** Move to: "
_GONE, _NEW = "-", "+"


Change = Callable[[str], str]


def files(patch: str) -> list[tuple[str, Change]]:
    """Return each path that a patch touches, with what makes the file's new text from its old one."""
    found: list[tuple[str, Change]] = []
    body: list[str] = []
    for line in patch.splitlines():
        word = next((word for word in (_ADD, _DELETE, _UPDATE, _MOVE) if line.startswith(word)), None)
        if word is None:
            body.append(line)
            continue
        if word != _MOVE:
            body = []
        found.append((line.removeprefix(word).strip(), partial(_CHANGES[word], body)))
    return found


def _added(body: list[str], _: str) -> str:
    return "\n".join(line.removeprefix(_NEW) for line in body)


def _deleted(_: list[str], __: str) -> str:
    return ""


def _updated(body: list[str], before: str) -> str:
    """Apply the hunks one after the other; one that fits nowhere changes nothing, as Codex refuses it."""
    lines, at = before.splitlines(), 0
    for anchor, hunk in _hunks(body):
        if anchor in lines[at:]:
            at = lines.index(anchor, at) + 1
        old = [line[1:] for line in hunk if not line.startswith(_NEW)]
        new = [line[1:] for line in hunk if not line.startswith(_GONE)]
        place = _find(lines, old, at)
        if place is not None:
            lines[place : place + len(old)] = new
            at = place + len(new)
    return "\n".join(lines)


def _hunks(body: list[str]) -> list[tuple[str, list[str]]]:
    """Split a section into hunks, each with the line to look from; empty where it names none."""
    hunks: list[tuple[str, list[str]]] = [("", [])]
    for line in body:
        if line.startswith("@@"):
            hunks.append((line[2:].removeprefix(" "), []))
        elif not line.startswith("***"):
            hunks[-1][1].append(line)
    return [(anchor, hunk) for anchor, hunk in hunks if hunk]


def _find(lines: list[str], old: list[str], at: int) -> int | None:
    """Say where lines stand, if need be without regard to blanks; what has none goes to the end, as in Codex."""
    if not old:
        return len(lines)
    for form in (str, str.strip):
        wanted = [form(line) for line in old]
        for place in range(at, len(lines) - len(old) + 1):
            if [form(line) for line in lines[place : place + len(old)]] == wanted:
                return place
    return None


_CHANGES = {_ADD: _added, _DELETE: _deleted, _UPDATE: _updated, _MOVE: _updated}
