"""Put a value into a JSON file that is somebody else's, leaving every other byte of it as it is.

Format: https://www.rfc-editor.org/rfc/rfc8259. A file with comments is no JSON, and is refused.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_UNIT = "  "


def put(text: str, path: tuple[str, ...], value: object) -> str:
    """Return the text with `value` at `path`; objects on the way are made where they are missing.

    Args:
        text: A JSON object; nothing at all counts as an empty one.
        path: The keys that lead to the value, outermost first.
        value: What is to stand there. Where it does already, the text comes back as it is.

    Raises:
        ValueError: The text is no JSON object, or something on the way is none.
    """
    text = text if text.strip() else "{}\n"
    json.loads(text)
    at, end = _skip(text, 0), len(text.rstrip())
    for depth, key in enumerate(path):
        if text[at] != "{":
            raise ValueError(f"{'.'.join(path[:depth]) or 'the file'} is not an object")
        members = _members(text, at)
        found = next((member for member in reversed(members) if member.key == key), None)
        if found is None:
            for outer in reversed(path[depth + 1 :]):
                value = {outer: value}
            return _inserted(text, at, members, key, value)
        at, end = found.start, found.end
    if json.loads(text[at:end]) == value:
        return text
    return text[:at] + _rendered(text, value, _indent_at(text, at)) + text[end:]


class _Member(NamedTuple):
    key: str
    at: int
    """Where its key begins."""
    start: int
    end: int


def _members(text: str, at: int) -> list[_Member]:
    """List what stands in the object that begins at `at`, of a text that is valid JSON."""
    found: list[_Member] = []
    place = _skip(text, at + 1)
    while text[place] != "}":
        key, after = _DECODER.raw_decode(text, place)
        start = _skip(text, _skip(text, after) + 1)
        end = _DECODER.raw_decode(text, start)[1]
        found.append(_Member(key, place, start, end))
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)
    return found


def _inserted(text: str, at: int, members: list[_Member], key: str, value: object) -> str:
    name = json.dumps(key, ensure_ascii=False)
    if not members:
        close = _skip(text, at + 1)
        outer = _indent_at(text, at)
        inner = outer + _unit(text)
        line = "\r\n" if "\r\n" in text else "\n"
        return f"{text[: at + 1]}{line}{inner}{name}: {_rendered(text, value, inner)}{line}{outer}{text[close:]}"
    last = members[-1].end
    before = text[at + 1 : members[0].at]
    if "\n" not in before:
        return f"{text[:last]}, {name}: {json.dumps(value, ensure_ascii=False)}{text[last:]}"
    inner = _indent_at(text, members[0].at)
    return f"{text[:last]},{before}{name}: {_rendered(text, value, inner)}{text[last:]}"


def _rendered(text: str, value: object, indent: str) -> str:
    line = "\r\n" if "\r\n" in text else "\n"
    return json.dumps(value, indent=_unit(text), ensure_ascii=False).replace("\n", line + indent)


def _indent_at(text: str, at: int) -> str:
    """Return what the line of `at` is indented with."""
    match = re.match(r"[ \t]*", text[text.rfind("\n", 0, at) + 1 :])
    return match[0] if match else ""


def _unit(text: str) -> str:
    """Return what the file is indented with: what stands before its first key."""
    match = re.match(r"\s*\{\r?\n([ \t]+)", text)
    return match[1] if match else _UNIT


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
