"""`autoagent-mcp connect`: what clients are told, and that nobody's file suffers."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tomli
from support.commands import autoagent
from support.workspaces import ROOT, write_tree

from autoagent_mcp.connect.clients import CLIENTS, KEYS
from autoagent_mcp.connect.connect import connect
from autoagent_mcp.errors import ConfigError
from autoagent_mcp.workspace import Workspace

FILES = {
    "claude-code": ".mcp.json",
    "codex": ".codex/config.toml",
    "gemini": ".gemini/settings.json",
    "opencode": "opencode.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".vscode/mcp.json",
}
USER_FILES = {
    "claude-code": ".claude.json",
    "claude-desktop": ".config/Claude/claude_desktop_config.json",
    "codex": ".codex/config.toml",
    "gemini": ".gemini/settings.json",
    "opencode": ".config/opencode/opencode.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".config/Code/User/mcp.json",
}


CLIENTS_VARIABLES = ("XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    write_tree(folder, {"agent.py": ""})
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    home = folder.parent / "home"
    apart = dict.fromkeys(("XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR"), "")
    return autoagent("connect", *words, folder=folder, HOME=str(home), **apart)


def read(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    return tomli.loads(text) if path.suffix == ".toml" else json.loads(text)


def command_in(config: dict[str, Any]) -> list[str]:
    """Return the command that the only server in a client's configuration is started with."""
    (servers,) = config.values()
    entry: dict[str, Any] = servers["autoagent"]
    return [*([entry["command"], *entry["args"]] if "args" in entry else entry["command"])]


@pytest.mark.parametrize("client", FILES)
def test_what_is_written_is_what_is_printed_and_written_once(workspace: Path, client: str) -> None:
    place = Workspace(folder=workspace)
    path = workspace / FILES[client]
    printed = connect(place, client, for_user=False, is_write=False)
    assert (printed.file, path.exists()) == (path, False)
    assert connect(place, client, for_user=False, is_write=True).is_written
    assert path.read_text(encoding="utf-8") == printed.text
    assert command_in(read(path))[1:] == ["--workspace", str(workspace)]
    assert not connect(place, client, for_user=False, is_write=True).is_written
    assert path.read_text(encoding="utf-8") == printed.text


def test_the_command_line_prints_the_configuration_alone_and_it_starts_the_server(workspace: Path) -> None:
    printed = run(workspace, "codex")
    assert (printed.returncode, (workspace / ".codex").exists()) == (0, False)
    command = command_in(tomli.loads(printed.stdout))
    assert Path(command[0]).is_absolute()
    assert subprocess.run([*command, "--version"], capture_output=True, check=True).stdout


@pytest.mark.parametrize("client", USER_FILES)
def test_a_users_file_lies_where_the_client_looks_for_it(
    workspace: Path, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CLIENTS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(workspace.parent / "home"))
    connect(Workspace(folder=workspace), client, for_user=client != "claude-desktop", is_write=True)
    assert command_in(read(workspace.parent / "home" / USER_FILES[client]))[-1] == str(workspace)


def test_the_readme_shows_what_is_written() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("### Connect your client\n")[2].partition("\n### ")[0]
    blocks = re.findall(r"```(json|toml)\n(.*?)```", section, flags=re.DOTALL)
    shown = [json.loads(text) if kind == "json" else tomli.loads(text) for kind, text in blocks]
    command = ["/path/to/autoagent-mcp", "--workspace", "/path/to/workspace"]
    names = ("claude-code", "codex", "gemini", "opencode", "vscode")
    assert shown == [{CLIENTS[name].place: {"autoagent": CLIENTS[name].entry(command, KEYS)}} for name in names]


def test_other_servers_and_what_was_added_to_ours_stay(workspace: Path) -> None:
    theirs = '{\n    "theme": "dark",\n    "mcpServers": {\n        "other": {"command": "x", "args": ["a", "b"]},\n'
    ours = '        "autoagent": {"command": "old", "env": {"OPENAI_API_KEY": "$KEY"}}\n    }\n}\n'
    write_tree(workspace, {".gemini/settings.json": theirs + ours})
    (workspace / ".gemini" / "settings.json").chmod(0o640)
    assert run(workspace, "gemini", "--write").returncode == 0
    path = workspace / ".gemini" / "settings.json"
    assert path.read_text(encoding="utf-8").startswith(theirs)
    entry = read(path)["mcpServers"]["autoagent"]
    assert entry["env"] == {"OPENAI_API_KEY": "$KEY", "ANTHROPIC_API_KEY": "${ANTHROPIC_API_KEY:-}"}
    assert entry["args"] == ["--workspace", str(workspace)]
    assert path.stat().st_mode & 0o777 == 0o640


def test_clients_that_hand_on_no_keys_are_told_the_names_of_those_that_the_models_need(workspace: Path) -> None:
    write_tree(workspace, {"autoagent.toml": '[model]\nname = "m"\nprovider = "openai"\napi_key_env = "MY_KEY"\n'})
    codex = tomli.loads(run(workspace, "codex").stdout)["mcp_servers"]["autoagent"]
    gemini = json.loads(run(workspace, "gemini").stdout)["mcpServers"]["autoagent"]
    assert {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "MY_KEY", "XDG_STATE_HOME"} <= set(codex["env_vars"])
    assert gemini["env"] == {key: f"${{{key}:-}}" for key in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "MY_KEY")}


def test_a_table_is_added_to_toml_whose_comments_stay(workspace: Path) -> None:
    theirs = '# mine\nmodel = "o9"\n[mcp_servers.other]\ncommand = "x"  # theirs'
    write_tree(workspace, {".codex/config.toml": theirs})
    assert run(workspace, "codex", "--write").returncode == 0
    text = (workspace / ".codex" / "config.toml").read_text(encoding="utf-8")
    assert text.startswith(f"{theirs}\n\n[mcp_servers.autoagent]\n")
    assert set(tomli.loads(text)["mcp_servers"]) == {"other", "autoagent"}


@pytest.mark.parametrize(
    ("client", "text", "reason"),
    [
        ("cursor", "{ // servers\n}", "Expecting property name"),
        ("cursor", '{"mcpServers": []}', "mcpServers is not an object"),
        ("vscode", "[]", "the file is not an object"),
        ("vscode", '{"servers": {}} \xff', "Extra data"),
        ("codex", "mcp_servers = 1\n", "not valid TOML"),
        ("codex", 'mcp_servers = {other = {command = "x"}}\n', "not valid TOML"),
        ("codex", '[mcp_servers.autoagent]\ncommand = "x"\n', "already, with other values"),
        ("codex", "= 1", "not valid TOML"),
        ("codex", f"deep = {5_000 * '['}{5_000 * ']'}\n", "nested"),
        ("cursor", f"{200_000 * '['}{200_000 * ']'}", "recursion"),
    ],
)
def test_a_file_that_cannot_be_added_to_is_left_and_named(workspace: Path, client: str, text: str, reason: str) -> None:
    write_tree(workspace, {FILES[client]: text})
    with pytest.raises(ConfigError) as caught:
        connect(Workspace(folder=workspace), client, for_user=False, is_write=True)
    assert f"{FILES[client]} was left as it is: " in caught.value.problem
    assert reason in caught.value.problem
    assert (workspace / FILES[client]).read_text(encoding="utf-8") == text


def test_a_link_that_leads_to_itself_is_left_and_named(workspace: Path) -> None:
    (workspace / ".mcp.json").symlink_to(".mcp.json")
    done = run(workspace, "claude-code", "--write")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert (workspace / ".mcp.json").is_symlink()


def test_a_client_or_a_workspace_that_is_not_there_is_refused(workspace: Path) -> None:
    assert "no client named 'codeks'" in run(workspace, "codeks").stderr
    nowhere = run(workspace, "codex", "--workspace", str(workspace.parent))
    assert (nowhere.returncode, nowhere.stdout) == (1, "")
    assert "`autoagent-mcp init " in nowhere.stderr
