"""The command lines of four clients: without a person, with the server of this installation, its tools unasked.

Their own edits are let through, their shell is not, as the loop needs none. Claude Code, Codex and opencode get the
server by the command line or a variable; Gemini CLI has no such way and needs `autoagent-mcp connect gemini --write`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from autoagent_mcp.connect.clients import CLIENTS, NAME
from autoagent_mcp.connect.connect import installed_command
from autoagent_mcp.errors import UnknownNameError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.workspace import Workspace

BRIEF = "{brief}"
"""Stands in a command for the prompt."""


class Template(Frozen):
    """How a client is started."""

    command: tuple[str, ...]
    variables: Mapping[str, str] = {}


def template(workspace: Workspace, client: str, model: str, keys: tuple[str, ...]) -> Template:
    """Return how a client is started on a workspace.

    Args:
        workspace: Where.
        client: One of `TEMPLATES`.
        model: The client's model, in its own words; empty for its default.
        keys: The variables that may hold the keys of the server's models.

    Raises:
        UnknownNameError: There is no template for such a client.
        SetupError: The command `autoagent-mcp` is not installed.
    """
    if client not in TEMPLATES:
        raise UnknownNameError("client", client, TEMPLATES)
    ours = str(installed_command())
    entry = CLIENTS[client].entry([ours, "--workspace", str(workspace.folder)], keys)
    return TEMPLATES[client](ours, entry, model)


def _claude_code(ours: str, entry: dict[str, Any], model: str) -> Template:
    hooks = {
        "Stop": [{"hooks": [_hook(ours, "stop")]}],
        "PreToolUse": [{"matcher": "Edit|Write|MultiEdit|NotebookEdit|Bash", "hooks": [_hook(ours, "guard")]}],
    }
    command = (
        *("claude", "-p", BRIEF, "--output-format", "stream-json", "--verbose"),
        *("--strict-mcp-config", "--mcp-config", json.dumps({"mcpServers": {NAME: entry}})),
        *("--settings", json.dumps({"hooks": hooks})),
        *("--permission-mode", "acceptEdits", "--allowedTools", f"mcp__{NAME}"),
        *(("--model", model) if model else ()),
    )
    # Without these it begins before a server that is slow to start is there, and the tools are missing.
    waits = {"MCP_CONNECTION_NONBLOCKING": "0", "MCP_CONNECT_TIMEOUT_MS": "60000", "MCP_TIMEOUT": "60000"}
    return Template(command=command, variables=waits)


def _hook(ours: str, name: str) -> dict[str, Any]:
    return {"type": "command", "command": shlex.join([ours, "hook", name]), "timeout": 10}


def _codex(_: str, entry: dict[str, Any], model: str) -> Template:
    options = [f"mcp_servers.{NAME}.{key}={json.dumps(value)}" for key, value in entry.items()]
    command = (
        *("codex", "exec", "--json", "--sandbox", "workspace-write"),
        *(word for option in options for word in ("-c", option)),
        *(("--model", model) if model else ()),
        BRIEF,
    )
    return Template(command=command)


def _gemini(_: str, __: dict[str, Any], model: str) -> Template:
    command = (
        *("gemini", "--prompt", BRIEF, "--output-format", "stream-json", "--approval-mode", "auto_edit"),
        *("--allowed-mcp-server-names", NAME),
        *(("--model", model) if model else ()),
    )
    # The option --skip-trust comes too late: the project's settings, and so the server, are already passed over then.
    return Template(command=command, variables={"GEMINI_CLI_TRUST_WORKSPACE": "true"})


def _opencode(_: str, entry: dict[str, Any], model: str) -> Template:
    tools = {"*": "deny", f"{NAME}_*": "allow"} | dict.fromkeys(("read", "glob", "grep", "list"), "allow")
    edits = {"*": "allow"} | dict.fromkeys(("tasks/**", ".autoagent/**", "autoagent.toml", "results.tsv"), "deny")
    settings = json.dumps({"mcp": {NAME: entry}, "permission": {**tools, "edit": edits}})
    command = ("opencode", "run", "--format", "json", *(("--model", model) if model else ()), BRIEF)
    return Template(command=command, variables={"OPENCODE_CONFIG_CONTENT": settings})


TEMPLATES: Mapping[str, Callable[[str, dict[str, Any], str], Template]] = {
    "claude-code": _claude_code,
    "codex": _codex,
    "gemini": _gemini,
    "opencode": _opencode,
}
