"""`autoagent-mcp hook stop|guard`: a hook's JSON on stdin, its answer on stdout.

Both are made for Claude Code and Codex, which send and take the same fields. Whatever goes wrong in here lets the
client go on as if there were no hook: a broken one must hold up nobody, and the server checks everything again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Literal, cast

from autoagent_mcp.hook.place import workspaces


def run(name: Literal["stop", "guard"], *, workspace: str | None) -> None:
    """Answer one hook; no output means that nothing is objected to.

    Args:
        name: `stop` (event Stop) or `guard` (event PreToolUse).
        workspace: Where the command line names one; else it is found from the client's folder.
    """
    if name == "stop":
        from autoagent_mcp.hook.stop import answer, objection  # noqa: PLC0415 - neither pays for the other's imports
    else:
        from autoagent_mcp.hook.guard import answer, objection  # noqa: PLC0415 - the same
    try:
        data = _read()
        reason = objection(data, workspaces(workspace, data))
    except Exception as error:  # noqa: BLE001 - the border to the client: see the module's docstring
        sys.stderr.write(f"autoagent-mcp hook {name} has no objection, as it failed: {error!r}\n")
        return
    if reason:
        sys.stdout.write(json.dumps(answer(reason)) + "\n")


def _read() -> Mapping[str, object]:
    data = json.loads(sys.stdin.buffer.read())
    if not isinstance(data, dict):
        raise TypeError("no JSON object came in")
    return cast("dict[str, object]", data)
