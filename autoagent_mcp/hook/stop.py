"""May the client stop? Not while a loop is on whose budget is left, and not for ever.

The server's state is read from its status file (models/status.py); a client is held only by a server that is alive and
only where it takes part in the loop itself.
"""

from __future__ import annotations

import json
import mmap
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from autoagent_mcp.hook.place import text

LIMIT = 4
"""So often a client is held while nothing happens in between. Claude Code itself lifts a hold after 8 in a row."""
_NEXT_CHARS = 1000
_LOOKED_AT_BYTES = 16 * 1024 * 1024
"""Of a transcript, from its end on: one of several hundred megabytes takes seconds to go through."""
_TAKES_PART = re.compile(rb'(?:__|")(?:run_suite|spot_check|keep_change|revert_change|wait_run)"')
"""How a tool's name stands in a transcript where it was called; inside of a text its quotes would be escaped."""


def objection(data: Mapping[str, object], folders: list[Path]) -> str:
    """Return why the client should go on; empty where it may stop.

    Args:
        data: The hook's input: `session_id`, `stop_hook_active`, `transcript_path`.
        folders: The client's workspaces.

    Raises:
        OSError: How often it was held cannot be read or written.
        ValueError: The same, or the status file is broken.
    """
    for folder in folders:
        status = _status(folder)
        if status and _takes_part(text(data, "transcript_path")) and _counts(folder, data, status):
            step = text(status, "next")[:_NEXT_CHARS]
            return f"The loop is on and nobody ended it, so go on without asking. Next: {step}"
    return ""


def answer(reason: str) -> dict[str, object]:
    """Return what keeps the client at work."""
    return {"decision": "block", "reason": reason}


def _status(folder: Path) -> Mapping[str, object] | None:
    """Return the status of a loop that is on, with work left, under a server that is alive."""
    state = folder / ".autoagent"
    if not (state / "status.json").exists() or (state / "stop").exists():
        return None
    found = json.loads((state / "status.json").read_bytes())
    status = cast("dict[str, object]", found) if isinstance(found, dict) else {}
    goes_on = status.get("version") == 1 and status.get("is_looping") is True and status.get("done") == ""
    return status if goes_on and status.get("is_serving") is True and _serves(state, status) else None


def _serves(state: Path, status: Mapping[str, object]) -> bool:
    pid = int((state / "lock").read_bytes())
    if pid <= 0 or pid != status.get("server_pid"):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _takes_part(transcript: str) -> bool:
    """Say whether this session called a tool of the loop of late: another one in the folder may end when it likes."""
    try:
        with Path(transcript).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _TAKES_PART.search(content, max(0, len(content) - _LOOKED_AT_BYTES)) is not None
    except (OSError, ValueError):  # none, or an empty one: the status alone decides
        return True


def _counts(folder: Path, data: Mapping[str, object], status: Mapping[str, object]) -> bool:
    """Count this hold, and say whether it is one of those allowed without anything happening in between."""
    name = re.sub(r"[^\w-]", "_", text(data, "session_id"))[:80] or "unknown"
    path = folder / ".autoagent" / "hooks" / name
    words = path.read_text(encoding="utf-8").split() if path.exists() else []
    mark, held = words if len(words) == 2 else ("", "0")  # noqa: PLR2004 - another call may be writing it
    now = text(status, "updated_at")
    is_same = data.get("stop_hook_active") is not False and mark == now
    count = int(held) + 1 if is_same else 1
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{now} {count}\n", encoding="utf-8")
    return count <= LIMIT
