"""What a client's call of an editing tool would change.

Claude Code: Write, Edit, MultiEdit, NotebookEdit. Codex: apply_patch, whose patch is the field `command`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, cast

from autoagent_mcp.hook import patch
from autoagent_mcp.hook.place import text

BOUNDARY = "# === FIXED ADAPTER BOUNDARY ==="
"""As in harness/adapter.py, whose import takes longer than all of this."""


class Edit(NamedTuple):
    """One file's change."""

    path: str
    change: Callable[[str], str]
    """Takes the file's text and returns the one after the edit; the same where the tool will refuse it."""


def asked(data: Mapping[str, object]) -> Iterator[Edit]:
    """Return the edits that a call of a tool asks for; none where it is no editing tool."""
    given = data.get("tool_input")
    if not isinstance(given, dict):
        return
    values = cast("dict[str, object]", given)
    name = text(data, "tool_name")
    if name == "Write":
        yield Edit(text(values, "file_path"), partial(_written, text(values, "content")))
    elif name in {"Edit", "MultiEdit"}:
        yield Edit(text(values, "file_path"), partial(_replaced, values))
    elif name == "NotebookEdit":
        yield Edit(text(values, "notebook_path"), str)
    elif name == "apply_patch":
        for path, change in patch.files(text(values, "command")):
            yield Edit(path, change)


def _written(content: str, _: str) -> str:
    return content


def _replaced(values: Mapping[str, object], before: str) -> str:
    several = values.get("edits")
    steps = cast("list[object]", several) if isinstance(several, list) else [values]
    for step in steps:
        one = cast("dict[str, object]", step) if isinstance(step, dict) else dict[str, object]()
        old, new = text(one, "old_string"), text(one, "new_string")
        count = -1 if one.get("replace_all") is True else 1
        before = before.replace(old, new, count) if old else before or new  # an empty one writes a new file
    return before
