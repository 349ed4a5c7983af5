"""A person's word that the loop shall end: `autoagent-mcp stop`."""

from __future__ import annotations

from autoagent_mcp.workspace import Workspace

STOPPED = "A person said stop (autoagent-mcp stop); only a person takes that back (autoagent-mcp stop --undo)."


def stopped(workspace: Workspace) -> str:
    """Say that a person said stop; empty where nobody did."""
    return STOPPED if workspace.stop.exists() else ""
