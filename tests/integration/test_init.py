"""`autoagent-mcp init`: a workspace that works, and nothing of anybody else's touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.clients import in_memory
from support.commands import autoagent
from support.stub_upstream import running
from support.wire import Answer, Json, ToolCall
from support.workspaces import ROOT, commit_all, git, on_bubblewrap, write_tree

from autoagent_mcp.harness import boundary
from autoagent_mcp.init import templates
from autoagent_mcp.workspace import Workspace

MERGED = (".mcp.json", ".claude/settings.json", ".gitignore")


def files_of(folder: Path) -> dict[str, bytes]:
    """Return all files but git's."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def init(folder: Path, *words: str) -> str:
    done = autoagent("init", *words, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_templates_are_what_is_shipped() -> None:
    shipped = templates.texts("openai", templates.ModelSettings())
    places = ("agent.py", ".agent/requirements.txt", "program.md", "autoagent.toml")
    assert list(shipped) == [(ROOT / place).read_text(encoding="utf-8") for place in places]
    for task in templates.TASKS.iterdir():
        assert files_of(task) == files_of(ROOT / "tasks" / task.name)


def test_a_new_folder_becomes_a_committed_workspace_whose_tasks_are_sound(tmp_path: Path) -> None:
    said = init(tmp_path, "new")
    folder = tmp_path / "new"
    assert "git add" not in said
    assert git(folder, "status", "--porcelain") == ""
    assert git(folder, "log", "--format=%an <%ae>") == "autoagent-mcp <autoagent-mcp@localhost>"
    write_tree(folder, {"autoagent.toml": on_bubblewrap((folder / "autoagent.toml").read_text(encoding="utf-8"))})
    checked = autoagent("tasks", "check", "--json", folder=folder)
    verdicts = [task["verdict"] for task in json.loads(checked.stdout)]
    assert verdicts == ["sound"] * 4

    before = files_of(folder)
    said = init(folder)
    assert "made" not in said
    assert "added to" not in said
    assert files_of(folder) == before


def test_in_a_repository_nothing_is_overwritten_or_committed(tmp_path: Path) -> None:
    theirs = {
        "agent.py": "print('mine')\n",
        "program.md": "Do this.\n",
        "tasks/own/task.toml": "",
        ".gitignore": "*.log",
        ".mcp.json": '{"mcpServers": {"other": {"command": "x", "args": ["1", "2"]}}}',
        ".claude/settings.json": '{\n\t"permissions": {"deny": ["Read(/secret)"]},\n\t"model": "opus"\n}\n',
    }
    write_tree(tmp_path, theirs)
    commit_all(tmp_path)
    write_tree(tmp_path, {"notes.txt": "not committed"})
    said = init(tmp_path)
    assert git(tmp_path, "log", "--format=%s") == "Begin"
    assert git(tmp_path, "diff", "--cached", "--name-only") == ""
    assert "git add autoagent.toml .mcp.json .claude/settings.json .gitignore && git commit" in said
    assert "'# === EDITABLE SECTION ===' once; it is nowhere" in said
    now = files_of(tmp_path)
    assert {name: now[name].decode() for name in theirs if name not in MERGED} == {
        name: text for name, text in theirs.items() if name not in MERGED
    }
    assert now[".gitignore"] == b"*.log\n.autoagent/\nresults.tsv\n"
    assert now[".mcp.json"].decode().startswith(theirs[".mcp.json"][:-2])
    assert set(json.loads(now[".mcp.json"])["mcpServers"]) == {"other", "autoagent"}
    settings = json.loads(now[".claude/settings.json"])
    assert settings["permissions"]["deny"][0] == "Read(/secret)"
    assert "Edit(/tasks/**)" in settings["permissions"]["deny"]
    assert settings["permissions"]["allow"] == ["mcp__autoagent"]
    assert now[".claude/settings.json"].endswith(b',\n\t"model": "opus"\n}\n')


def test_what_is_no_json_is_left_and_what_belongs_there_is_said(tmp_path: Path) -> None:
    deep = f'{{"permissions": {200_000 * "["}{200_000 * "]"}}}'
    write_tree(tmp_path / "deep", {".claude/settings.json": deep, ".mcp.json": deep})
    assert '"mcp__autoagent"' in init(tmp_path, "deep")
    shutil.rmtree(tmp_path / "deep")
    theirs = {".mcp.json": "{ // servers\n}", ".claude/settings.json": '{"permissions": []}'}
    write_tree(tmp_path, theirs)
    said = init(tmp_path)
    assert {name: (tmp_path / name).read_text(encoding="utf-8") for name in theirs} == theirs
    assert '"mcpServers": { "autoagent": { "command": "autoagent-mcp"' in said
    assert '"mcp__autoagent"' in said
    assert git(tmp_path, "status", "--porcelain") == "?? .claude/\n?? .mcp.json"


def test_nothing_is_written_behind_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    write_tree(there, {"ignore": "*.log\n"})
    here.mkdir()
    (here / ".claude").symlink_to(there)
    (here / ".agent").symlink_to(there)
    (here / ".gitignore").symlink_to("../there/ignore")
    (here / ".mcp.json").symlink_to("../there/mcp.json")
    said = init(here)
    assert files_of(there) == {"ignore": b"*.log\n"}
    assert f"It lies behind a link, at {there}/ignore. Add by hand: .autoagent/ results.tsv" in said
    assert f'at {there}/mcp.json. Add by hand: {{ "mcpServers"' in said
    assert (here / "agent.py").is_file()


def test_settings_that_are_there_name_the_new_harness_model(tmp_path: Path) -> None:
    write_tree(tmp_path, {"autoagent.toml": 'tasks_dir = "exam"\n[model]\nprovider = "openai"\nname = "gpt-x"\n'})
    said = init(tmp_path)
    assert 'MODEL = "gpt-x"\n' in (tmp_path / "agent.py").read_text(encoding="utf-8")
    assert (tmp_path / "exam" / "count-words" / "task.toml").is_file()
    assert "Edit(/exam/**)" in (tmp_path / ".claude" / "settings.json").read_text(encoding="utf-8")
    assert "OPENAI_API_KEY" in said


def test_what_is_in_the_way_is_named_and_the_rest_is_made_the_next_time(tmp_path: Path) -> None:
    settings = 'tasks_dir = "../exam"\n[model]\nprovider = "openai"\nname = "gpt-x"\n'
    folder = tmp_path / "here"
    write_tree(folder, {"autoagent.toml": settings, ".claude": "a file"})
    done = autoagent("init", folder=folder)
    assert done.returncode == 1
    assert ".claude" in done.stderr
    assert "Traceback" not in done.stderr
    (folder / ".claude").unlink()
    said = init(folder)
    assert f"Edit(/{tmp_path}/exam/**)" in (folder / ".claude" / "settings.json").read_text(encoding="utf-8")
    assert "There is no such folder: make it." in said
    assert not (tmp_path / "exam").exists()
    assert "git add agent.py .agent/requirements.txt program.md" in said


def test_the_claude_harness_is_a_harbor_agent_too(tmp_path: Path) -> None:
    """Harbor imports agent.py and asks for AutoAgent; what stands below the boundary is the shipped part."""
    init(tmp_path, "--harness", "claude")
    boundary.check({"agent.py": (tmp_path / "agent.py").read_bytes()}, model="claude-haiku-4-5")
    command = [sys.executable, "-c", "import agent; print(agent.AutoAgent.name(), *agent.create_agent(None).tools)"]
    environment = {**os.environ, "ANTHROPIC_API_KEY": "none"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "autoagent bash\n"


@pytest.mark.parametrize("name", ["sub", "sub/new"])
def test_inside_another_repository_nothing_is_made(tmp_path: Path, name: str) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "sub").mkdir()
    done = autoagent("init", name, folder=tmp_path)
    assert done.returncode == 1
    assert f"lies inside the repository {tmp_path}" in done.stderr
    assert files_of(tmp_path) == {}
    assert not (tmp_path / "sub" / "new").exists()


@pytest.mark.parametrize("name", [".", "hooks/new"])
def test_in_a_bare_repository_nothing_is_made(tmp_path: Path, name: str) -> None:
    git(tmp_path, "init", "-q", "--bare")
    done = autoagent("init", name, folder=tmp_path)
    assert (done.returncode, f"{tmp_path} is git's own folder" in done.stderr) == (1, True)
    assert not (tmp_path / ".git").exists()
    assert not (tmp_path / "agent.py").exists()


def answer(body: Json) -> Answer:
    """Count the words by a command, then say so; other tasks are given up."""
    said = json.dumps(body["messages"])
    if "tool_result" in said:
        assert "[exit code 0]" in said
        return Answer(text="Done.", number=2)
    if "incident.txt" in said:
        return Answer(calls=(ToolCall("call", "bash", {"command": "wc -w < incident.txt > words.txt"}),))
    return Answer(text="No.")


async def test_a_claude_harness_works_through_the_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init(tmp_path, "--harness", "claude")
    settings = (tmp_path / "autoagent.toml").read_text(encoding="utf-8")
    assert 'provider = "anthropic"' in settings
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-stub")
    async with running() as stub:
        stub.answer = answer
        address = f'[model]\nbase_url = "{stub.url}"\n'
        write_tree(tmp_path, {"autoagent.toml": on_bubblewrap(settings.replace("[model]\n", address))})
        commit_all(tmp_path)
        async with in_memory(Workspace(folder=tmp_path)) as call:
            run = await call("run_suite", description="the baseline")
            while run["state"] == "running":
                run = await call("wait_run", run=run["run"])
            trials = (await call("read_run", run=run["run"]))["trials"]
    rewards = {one["trial"].removesuffix("__1"): (one["reward"], one["failure"]) for one in trials}
    assert rewards.pop("count-words") == (1.0, "")
    assert set(rewards.values()) == {(0.0, "")}
    assert [request.path for request in stub.received] == ["/v1/messages"] * (len(trials) + 1)
    assert {body["model"] for body in stub.bodies} == {"claude-haiku-4-5"}
    assert os.environ["ANTHROPIC_API_KEY"] == stub.received[0].headers["x-api-key"]
