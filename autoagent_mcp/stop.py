"""`autoagent-mcp stop`: a person says that the loop shall end, or takes that back.

It leaves a file that the server which writes sees within a second, and each later one at its start.
"""

from __future__ import annotations

from datetime import datetime, timezone

from autoagent_mcp._io import write_whole
from autoagent_mcp.errors import SetupError
from autoagent_mcp.workspace import Workspace


def stop(workspace: Workspace) -> None:
    """Say that no run shall start any more, and that the one under way shall end with what it has.

    Raises:
        SetupError: The folder is no workspace, or cannot be written.
    """
    if not workspace.agent.exists():
        raise SetupError(
            f"{workspace.folder} holds no agent.py.", "Call it in the workspace, or name it (--workspace)."
        )
    try:
        workspace.state.mkdir(exist_ok=True)
        write_whole(workspace.stop, f"{datetime.now(timezone.utc).isoformat()}\n")
    except OSError as error:
        raise SetupError(f"{workspace.stop} cannot be written: {error}.", "Make its folder writable.") from error


def undo(workspace: Workspace) -> bool:
    """Take it back, and tell whether it had been said.

    Raises:
        SetupError: The file cannot be removed.
    """
    was_said = workspace.stop.exists()
    try:
        workspace.stop.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(f"{workspace.stop} cannot be removed: {error.strerror}.", "Remove it by hand.") from error
    return was_said
