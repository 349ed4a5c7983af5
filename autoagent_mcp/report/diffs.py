"""What a change does, as lines with colours: by difflib and Pygments, so that the page needs neither. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pygments.lexers import get_lexer_for_filename  # pyright: ignore[reportUnknownVariableType] - its stubs' options
from pygments.token import STANDARD_TYPES, Token
from pygments.util import ClassNotFound

Line = list[Any]
"""Its sign (" ", "+", "-", or "@" for a gap), its numbers before and after (0 for none), and its pieces: a text, or a
pair of Pygments' short name for what it is and the text."""

_CONTEXT_LINES = 3
_MOST_LINES = 4_000
"""Of a longer file only its size is told: comparing takes time that grows with the square."""
_PLAIN = {"", "n", "p", "o", "w", "err"}
"""Names, punctuation and operators stay as they are: colour is for what helps to find one's way."""


def diff(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return for each file that differs its path, what happened to it, its lines, and a note where there are none."""
    changed = [path for path in sorted({*before, *now}) if before.get(path) != now.get(path)]
    return [_file(path, before.get(path), now.get(path)) for path in changed]


def _file(path: str, before: bytes | None, now: bytes | None) -> dict[str, Any]:
    what = "added" if before is None else "removed" if now is None else "changed"
    try:
        old, new = (before or b"").decode(), (now or b"").decode()
    except UnicodeDecodeError:
        return {"path": path, "what": what, "lines": [], "note": _sizes(before, now, "no text")}
    if max(old.count("\n"), new.count("\n")) > _MOST_LINES:
        return {"path": path, "what": what, "lines": [], "note": _sizes(before, now, "too long to be compared")}
    return {"path": path, "what": what, "lines": list(_lines(path, old, new)), "note": ""}


def _sizes(before: bytes | None, now: bytes | None, why: str) -> str:
    return f"{len(before or b'')} bytes before, {len(now or b'')} bytes now; {why}."


def _lines(path: str, old: str, new: str) -> Iterator[Line]:
    a, b = old.splitlines(), new.splitlines()
    groups = list(difflib.SequenceMatcher(None, a, b, autojunk=False).get_grouped_opcodes(_CONTEXT_LINES))
    ends = groups[-1][-1] if groups else ("", 0, 0, 0, 0)
    # What comes after the last change is not shown, and has no say in the colours before it.
    coloured_a, coloured_b = coloured(path, tuple(a[: ends[2]])), coloured(path, tuple(b[: ends[4]]))
    for group in groups:
        yield ["@", group[0][1] + 1, group[0][3] + 1, []]
        for tag, a_from, a_to, b_from, b_to in group:
            if tag == "equal":
                shift = b_from - a_from
                yield from ([" ", n + 1, n + shift + 1, coloured_a[n]] for n in range(a_from, a_to))
            else:
                yield from (["-", n + 1, 0, coloured_a[n]] for n in range(a_from, a_to))
                yield from (["+", 0, n + 1, coloured_b[n]] for n in range(b_from, b_to))


@lru_cache(maxsize=64)
def coloured(path: str, lines: tuple[str, ...]) -> list[Line]:
    """Return lines as pieces; a file of a kind that Pygments does not know stays plain."""
    try:
        lexer = get_lexer_for_filename(path, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return [[line] for line in lines]
    found: list[Line] = [[]]
    for kind, value in lexer.get_tokens("\n".join(lines)):
        name = _short_name(kind)
        for number, part in enumerate(value.split("\n")):
            if number:
                found.append([])
            if part:
                _add(found[-1], name, part)
    found += [[] for _ in range(len(lines) - len(found))]
    return found


def _add(line: Line, name: str, text: str) -> None:
    if name in _PLAIN:
        if line and isinstance(line[-1], str):
            line[-1] += text
        else:
            line.append(text)
    elif line and line[-1][0] == name and not isinstance(line[-1], str):
        line[-1][1] += text
    else:
        line.append([name, text])


def _short_name(kind: Any) -> str:  # noqa: ANN401 - Pygments' token types have no type
    while kind not in STANDARD_TYPES and kind is not Token:
        kind = kind.parent
    return STANDARD_TYPES.get(kind, "")
