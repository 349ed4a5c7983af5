"""The demo's two edits of agent.py."""

from __future__ import annotations

from autoagent_mcp.demo import edited
from autoagent_mcp.workspace import Workspace


def apply_edit(workspace: Workspace, name: str) -> None:
    """Replace the editable section of agent.py by a prepared one: `helps` or `hurts`."""
    workspace.agent.write_text(edited(workspace.agent.read_text(encoding="utf-8"), name), encoding="utf-8")
