"""Add a table to a TOML file that is somebody else's, at its end; nothing in it is rewritten.

Format: https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import json
from typing import Any

import tomli


def table(path: tuple[str, ...], values: dict[str, Any]) -> str:
    """Return a table with these strings, numbers, booleans and lists of strings.

    JSON writes all of these as TOML does.
    """
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join([f"[{'.'.join(path)}]", *lines, ""])


def put(text: str, path: tuple[str, ...], values: dict[str, Any]) -> str:
    """Return the text with the table added; as it is where the table has these values.

    Raises:
        tomli.TOMLDecodeError: The text is not valid, or would not be with the table.
        ValueError: There is such a table with other values.
    """
    known: Any = tomli.loads(text)
    for key in path:
        known = known.get(key) if isinstance(known, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if known is not None:
        if isinstance(known, dict) and {**known, **values} == known:
            return text
        raise ValueError(f"it has a table [{'.'.join(path)}] already, with other values")
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    new = f"{text}{gap}{table(path, values)}"
    tomli.loads(new)
    return new
