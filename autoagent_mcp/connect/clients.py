"""What each client's configuration looks like, and where it lies.

Sources: the clients' own documentation (https://code.claude.com/docs/en/mcp,
https://modelcontextprotocol.io/docs/develop/connect-local-servers, https://developers.openai.com/codex/mcp,
https://geminicli.com/docs/tools/mcp-server, https://opencode.ai/docs/mcp-servers, https://cursor.com/docs/mcp,
https://code.visualstudio.com/docs/copilot/reference/mcp-configuration).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

NAME = "autoagent"
"""What the server is called in a client; the tools' names begin with it."""

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
"""The variables in which the server looks for a model's key, where autoagent.toml names no other."""
_OTHER_VARIABLES = (
    "AUTOAGENT_META_MODEL",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "DOCKER_HOST",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
)
"""What else the server may need from its client's environment."""

Entry = dict[str, Any]


class Client(NamedTuple):
    """An MCP client."""

    project_file: str | None
    """Its configuration of one project, relative to the workspace; None where it has none."""
    user_file: Callable[[], Path]
    """Its configuration of one user."""
    place: str
    """The key below which its servers stand."""
    entry: Callable[[list[str], tuple[str, ...]], Entry]
    """Make our entry from the command that starts the server and the variables that may hold its keys."""
    then: str
    """What to do once it is written."""


def claude_code(command: list[str], _keys: tuple[str, ...] = ()) -> Entry:
    """Return the entry for Claude Code.

    A call may take two hours (progress does not extend the limit), and the tools are offered at once instead of being
    looked up by a search.
    """
    return {"command": command[0], "args": command[1:], "timeout": 7_200_000, "alwaysLoad": True}


def _plain(command: list[str], _keys: tuple[str, ...] = ()) -> Entry:
    """Return the entry of clients that have no setting for a call's time: 45 s at a time fit all of them."""
    return {"command": command[0], "args": command[1:]}


def _typed(command: list[str], _keys: tuple[str, ...]) -> Entry:
    return {"type": "stdio", **_plain(command)}


def _codex(command: list[str], keys: tuple[str, ...]) -> Entry:
    """Return the entry for Codex.

    It goes on without a server that is not `required` and not up in time, cuts calls after 300 s, asks a person before
    it calls a tool that changes something, and hands on only the variables that are named.
    """
    return {
        **_plain(command),
        "env_vars": [*keys, *_OTHER_VARIABLES],
        "startup_timeout_sec": 60,
        "tool_timeout_sec": 600,
        "required": True,
        "default_tools_approval_mode": "approve",
    }


def _gemini(command: list[str], keys: tuple[str, ...]) -> Entry:
    """Return the entry for Gemini CLI.

    `trust` lets the tools run unasked. Variables whose names tell of a key are handed on only where `env` says so;
    one that is not set would be its own name without the `:-`, and is empty with it.
    """
    return {**_plain(command), "env": {key: f"${{{key}:-}}" for key in keys}, "timeout": 600_000, "trust": True}


def _opencode(command: list[str], _keys: tuple[str, ...]) -> Entry:
    """Its own limit is 60 s without a word."""
    return {"type": "local", "command": command, "enabled": True, "timeout": 600_000}


def _settings(mac: str, linux: str) -> Callable[[], Path]:
    """Find a desktop program's file in the folder that the system has for such."""

    def find() -> Path:
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Application Support" / mac
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / linux

    return find


def _in_home(name: str, *, variable: str = "", default: str = "") -> Callable[[], Path]:
    """Find a file in the home folder, or in a folder that a variable may name."""

    def find() -> Path:
        return Path(os.environ.get(variable) or Path.home() / default) / name

    return find


CLIENTS: Mapping[str, Client] = {
    "claude-code": Client(
        ".mcp.json",
        _in_home(".claude.json", variable="CLAUDE_CONFIG_DIR"),
        "mcpServers",
        claude_code,
        "Start `claude` in the workspace, trust it and approve the server once; `claude mcp list` shows it.",
    ),
    "claude-desktop": Client(
        None,
        _settings("Claude/claude_desktop_config.json", "Claude/claude_desktop_config.json"),
        "mcpServers",
        _plain,
        "Quit Claude Desktop and start it again.",
    ),
    "codex": Client(
        ".codex/config.toml",
        _in_home("config.toml", variable="CODEX_HOME", default=".codex"),
        "mcp_servers",
        _codex,
        "`codex mcp list` shows it. A project's file counts where you trust the project: start `codex` there once.",
    ),
    "gemini": Client(
        ".gemini/settings.json",
        _in_home("settings.json", default=".gemini"),
        "mcpServers",
        _gemini,
        "`gemini mcp list` shows it, in a folder that you trust.",
    ),
    "opencode": Client(
        "opencode.json",
        _in_home("opencode/opencode.json", variable="XDG_CONFIG_HOME", default=".config"),
        "mcp",
        _opencode,
        "`opencode mcp list` shows it.",
    ),
    "cursor": Client(
        ".cursor/mcp.json",
        _in_home("mcp.json", default=".cursor"),
        "mcpServers",
        _typed,
        "Switch the server on in Cursor's settings, under MCP.",
    ),
    "vscode": Client(
        ".vscode/mcp.json",
        _settings("Code/User/mcp.json", "Code/User/mcp.json"),
        "servers",
        _typed,
        "Run the command `MCP: List Servers` and start it there.",
    ),
}
