"""What Claude Code reads in a workspace: how the server is started, and what may be done unasked or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autoagent_mcp import _json_text
from autoagent_mcp.connect.clients import NAME, claude_code

SERVER = claude_code(["autoagent-mcp"])
"""By its name on the PATH, so that the file can be committed and used on another machine."""
ALLOWED = (f"mcp__{NAME}",)
"""All tools of the server. Rules: https://code.claude.com/docs/en/permissions."""


def denied(folder: Path, tasks_dir: str) -> tuple[str, ...]:
    """Return the rules against edits of what measures the harness; `/` begins at the workspace, `//` at the root."""
    tasks = (folder / tasks_dir).resolve()
    inside = tasks.relative_to(folder) if tasks.is_relative_to(folder) else tasks
    return (f"Edit(/{inside}/**)", "Edit(/autoagent.toml)", "Edit(/.autoagent/**)", "Edit(/results.tsv)")


def with_server(text: str) -> str:
    """Return .mcp.json with our server in it, where none of its name is there.

    Raises:
        ValueError: The text is not such a file.
    """
    if NAME in _object(_object(_parsed(text)).get("mcpServers", {})):
        return text
    return _json_text.put(text, ("mcpServers", NAME), SERVER)


def with_rules(text: str, folder: Path, tasks_dir: str) -> str:
    """Return .claude/settings.json with our rules among the others.

    Raises:
        ValueError: The text is not such a file.
    """
    for key, rules in (("allow", ALLOWED), ("deny", denied(folder, tasks_dir))):
        permissions = _object(_object(_parsed(text)).get("permissions", {}))
        known = _list(permissions.get(key, []))
        missing = [rule for rule in rules if rule not in known]
        if missing:
            text = _json_text.put(text, ("permissions", key), [*known, *missing])
    return text


def _parsed(text: str) -> object:
    return json.loads(text) if text.strip() else {}


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("something in it is not a list")  # noqa: TRY004 - the file's fault
    return value  # pyright: ignore[reportUnknownVariableType]


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("something in it is not an object")  # noqa: TRY004 - the file's fault
    return value  # pyright: ignore[reportUnknownVariableType]
