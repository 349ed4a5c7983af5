"""The command lines of four clients: without a person, with the server of this installation, its tools unasked.

Their own edits are let through, their shell is not, as the loop needs none. Claude Code, Codex and opencode get the
server by the command line or a variable; Gemini CLI has no such way and needs `autoagent-mcp connect gemini --write`.
"""

from __future__ import annotations

import json
import os
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

_FORWARDED = (
    "AUTOAGENT_META_MODEL",
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "DOCKER_HOST",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
)
"""What the server may need from this environment; Codex hands its servers next to nothing unasked."""


class Template(Frozen):
    """How a client is started."""

    command: tuple[str, ...]
    variables: Mapping[str, str] = {}


def template(workspace: Workspace, client: str, model: str, api_key_envs: tuple[str, ...] = ()) -> Template:
    """Return how a client is started on a workspace.

    Args:
        workspace: Where.
        client: One of `TEMPLATES`.
        model: The client's model, in its own words; empty for its default.
        api_key_envs: Variables that autoagent.toml names for the server.

    Raises:
        UnknownNameError: There is no template for such a client.
        SetupError: The command `autoagent-mcp` is not installed.
    """
    if client not in TEMPLATES:
        raise UnknownNameError("client", client, TEMPLATES)
    ours = str(installed_command())
    entry = CLIENTS[client].entry([ours, "--workspace", str(workspace.folder)])
    return TEMPLATES[client](ours, entry, model, api_key_envs)


def _claude_code(ours: str, entry: dict[str, Any], model: str, _: tuple[str, ...]) -> Template:
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


def _codex(_: str, entry: dict[str, Any], model: str, api_key_envs: tuple[str, ...]) -> Template:
    forwarded = [name for name in dict.fromkeys((*_FORWARDED, *api_key_envs)) if name in os.environ]
    if "AUTOAGENT_META_MODEL" not in forwarded and model:
        forwarded.append("AUTOAGENT_META_MODEL")
    settings = {**entry, "env_vars": forwarded, "default_tools_approval_mode": "approve"}
    options = [f"mcp_servers.{NAME}.{key}={json.dumps(value)}" for key, value in settings.items()]
    command = (
        *("codex", "exec", "--json", "--sandbox", "workspace-write"),
        *(word for option in options for word in ("-c", option)),
        *(("--model", model) if model else ()),
        BRIEF,
    )
    return Template(command=command)


def _gemini(_: str, __: dict[str, Any], model: str, ___: tuple[str, ...]) -> Template:
    command = (
        *("gemini", "--prompt", BRIEF, "--output-format", "stream-json", "--approval-mode", "auto_edit"),
        *("--allowed-mcp-server-names", NAME, "--skip-trust"),
        *(("--model", model) if model else ()),
    )
    return Template(command=command)


def _opencode(_: str, entry: dict[str, Any], model: str, __: tuple[str, ...]) -> Template:
    allowed = {"*": "deny", f"{NAME}_*": "allow"} | dict.fromkeys(("read", "edit", "glob", "grep", "list"), "allow")
    settings = json.dumps({"mcp": {NAME: entry}, "permission": allowed})
    command = ("opencode", "run", "--format", "json", *(("--model", model) if model else ()), BRIEF)
    return Template(command=command, variables={"OPENCODE_CONFIG_CONTENT": settings})


TEMPLATES: Mapping[str, Callable[[str, dict[str, Any], str, tuple[str, ...]], Template]] = {
    "claude-code": _claude_code,
    "codex": _codex,
    "gemini": _gemini,
    "opencode": _opencode,
}
