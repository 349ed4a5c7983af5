"""The command lines with which clients are started; what is in them is what their own parsers read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tomli

from autoagent_mcp.night.templates import BRIEF, TEMPLATES, Template, template
from autoagent_mcp.workspace import Workspace


def made(folder: Path, client: str, model: str = "") -> Template:
    return template(Workspace(folder=folder), client, model, ("MY_KEY",))


def after(command: tuple[str, ...], option: str) -> list[str]:
    return [command[n + 1] for n, word in enumerate(command[:-1]) if word == option]


def server(entry: Any, folder: Path) -> None:  # noqa: ANN401 - JSON
    command = [entry["command"], *entry["args"]] if "args" in entry else entry["command"]
    assert Path(command[0]).is_absolute()
    assert command[1:] == ["--workspace", str(folder)]


@pytest.mark.parametrize("client", TEMPLATES)
def test_the_brief_stands_once_and_the_model_where_it_is_named(tmp_path: Path, client: str) -> None:
    assert made(tmp_path, client).command.count(BRIEF) == 1
    assert "--model" not in made(tmp_path, client).command
    assert after(made(tmp_path, client, "some/model").command, "--model") == ["some/model"]


def test_claude_code_gets_the_server_the_hooks_and_leave_to_use_the_tools(tmp_path: Path) -> None:
    found = made(tmp_path, "claude-code")
    (config,) = after(found.command, "--mcp-config")
    server(json.loads(config)["mcpServers"]["autoagent"], tmp_path)
    hooks = json.loads(after(found.command, "--settings")[0])["hooks"]
    commands = [hook["command"] for groups in hooks.values() for group in groups for hook in group["hooks"]]
    assert [re.sub(r".*/", "", command) for command in commands] == [
        "autoagent-mcp hook stop",
        "autoagent-mcp hook guard",
    ]
    assert after(found.command, "--allowedTools") == ["mcp__autoagent"]
    assert found.command[1:3] == ("-p", BRIEF), "an option that takes several values would take the prompt, too"
    assert found.variables["MCP_CONNECTION_NONBLOCKING"] == "0"


def test_codex_gets_the_server_by_options_and_its_variables_by_name(tmp_path: Path) -> None:
    found = made(tmp_path, "codex", "gpt-x")
    settings = tomli.loads("\n".join(after(found.command, "-c")))["mcp_servers"]["autoagent"]
    server(settings, tmp_path)
    assert settings["required"] is True
    assert settings["default_tools_approval_mode"] == "approve"
    assert {"MY_KEY", "AUTOAGENT_META_MODEL"} <= set(settings["env_vars"])


def test_gemini_trusts_the_folder_before_it_reads_the_project_s_settings(tmp_path: Path) -> None:
    assert made(tmp_path, "gemini").variables["GEMINI_CLI_TRUST_WORKSPACE"] == "true"


def test_opencode_gets_all_in_a_variable(tmp_path: Path) -> None:
    settings = json.loads(made(tmp_path, "opencode").variables["OPENCODE_CONFIG_CONTENT"])
    server(settings["mcp"]["autoagent"], tmp_path)
    assert settings["permission"]["autoagent_*"] == "allow"
    assert settings["permission"]["*"] == "deny"
    edits = settings["permission"]["edit"]
    assert next(iter(edits)) == "*", "the last rule that fits is the one that counts"
    assert (edits["*"], edits["tasks/**"], edits["autoagent.toml"]) == ("allow", "deny", "deny")
