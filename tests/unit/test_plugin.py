"""The plugin for Claude Code and Codex: what its files name is there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import tomli
from support.hooks import ask, denial
from support.workspaces import ROOT

from autoagent_mcp.connect.clients import CLIENTS, KEYS
from autoagent_mcp.tools.registry import TOOLS

PLUGIN = ROOT / "plugin"
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
(COMMAND,) = PROJECT["scripts"]


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def hooks() -> list[tuple[str, str]]:
    """Return each hook's event and command."""
    found = read(PLUGIN / "hooks" / "hooks.json")["hooks"]
    return [(event, hook["command"]) for event, groups in found.items() for group in groups for hook in group["hooks"]]


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_the_manifest_agrees_with_the_package(kind: str) -> None:
    manifest = read(PLUGIN / f".{kind}-plugin" / "plugin.json")
    assert (manifest["version"], manifest["license"]) == (PROJECT["version"], PROJECT["license"])
    (offered,) = read(ROOT / ".claude-plugin" / "marketplace.json")["plugins"]
    assert (offered["name"], ROOT / offered["source"]) == (manifest["name"], PLUGIN)
    parts = [manifest[key] for key in ("skills", "hooks", "mcpServers") if key in manifest]
    assert len(parts) == (3 if kind == "codex" else 0), "Claude Code finds them by their names"
    assert all((PLUGIN / part).exists() for part in parts)


def test_the_server_is_the_installed_command(tmp_path: Path) -> None:
    (server,) = read(PLUGIN / ".mcp.json")["mcpServers"].values()
    assert (server["command"], server["args"]) == (COMMAND, [])
    for client in ("claude-code", "codex"):
        entry = CLIENTS[client].entry([COMMAND], KEYS)
        assert {key: server.get(key) for key in entry} == entry, "the one file is both clients' configuration"
    events = dict(hooks())
    assert set(events) == {"Stop", "PreToolUse"}
    for command in events.values():
        ours, hook, name = shlex.split(command)
        assert (ours, hook) == (COMMAND, "hook")
        assert ask(name, {}, cwd=tmp_path) == {}


def test_the_guard_is_asked_about_every_tool_that_it_judges(tmp_path: Path) -> None:
    (tmp_path / "autoagent.toml").touch()
    refused = {
        "Write": {"file_path": "tasks/x"},
        "Edit": {"file_path": "tasks/x"},
        "MultiEdit": {"file_path": "tasks/x"},
        "NotebookEdit": {"notebook_path": "tasks/x"},
        "Bash": {"command": "rm -r tasks"},
        "apply_patch": {"command": "*** Delete File: tasks/x"},
    }
    (group,) = read(PLUGIN / "hooks" / "hooks.json")["hooks"]["PreToolUse"]
    assert group["matcher"].split("|") == list(refused)
    for tool, given in refused.items():
        assert denial(ask("guard", {"tool_name": tool, "tool_input": given, "cwd": str(tmp_path)})), tool


@pytest.mark.parametrize("path", sorted(PLUGIN.rglob("*.md")), ids=lambda path: str(path.relative_to(PLUGIN)))
def test_the_words_for_the_meta_agent_name_tools_that_there_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert "description: " in head
    named = set(re.findall(r"\b((?:run|get|list|read|keep|revert|wait|spot|cancel)_[a-z]+)\b", body))
    assert named
    assert named <= {tool.__name__ for tool, _ in TOOLS}
