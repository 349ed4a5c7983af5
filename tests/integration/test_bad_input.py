"""Bad input gets a clear error through the tools, and loses nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clients import ToolFailed, in_memory
from support.workspaces import ANSWER_TASK, NO_MODEL, commit_all, git, harness, make_workspace, write_tree

from autoagent_mcp.workspace import Workspace

SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1")
SOLVES = "async def run_task(environment, instruction):\n    await environment.exec('echo 42 > answer.txt')\n"


def no_repository(folder: Path) -> None:
    shutil.rmtree(folder / ".git")


def no_commit(folder: Path) -> None:
    shutil.rmtree(folder / ".git")
    git(folder, "init", "-q", "-b", "main")


def detached_head(folder: Path) -> None:
    git(folder, "checkout", "-q", "--detach")


def broken_settings(folder: Path) -> None:
    (folder / "autoagent.toml").write_text("[model\n", encoding="utf-8")


def a_folder_for_settings(folder: Path) -> None:
    (folder / "autoagent.toml").unlink()
    (folder / "autoagent.toml").mkdir()


def a_file_for_our_folder(folder: Path) -> None:
    (folder / ".autoagent").write_text("in the way", encoding="utf-8")


def misspelt_setting(folder: Path) -> None:
    (folder / "autoagent.toml").write_text("[model]\nprovidr = 'local'\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_repository, "git init"),
        (no_commit, "commit"),
        (detached_head, "git switch"),
        (broken_settings, "autoagent.toml is not valid TOML"),
        (misspelt_setting, "model.providr"),
        (a_folder_for_settings, "Is a directory"),
        (a_file_for_our_folder, "File exists"),
    ],
)
async def test_a_workspace_that_is_not_ready_is_named_with_its_cure(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), settings=SETTINGS)
    spoil(tmp_path)
    async with in_memory(workspace) as call:
        with pytest.raises(ToolFailed, match=said):
            await call("get_brief")


async def test_a_workspace_that_was_mended_opens_without_a_restart(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), settings=SETTINGS)
    no_commit(tmp_path)
    async with in_memory(workspace) as call:
        with pytest.raises(ToolFailed):
            await call("get_brief")
        commit_all(tmp_path)
        assert "run_suite" in (await call("get_brief"))["next"]


BOUNDARY = "# === FIXED ADAPTER BOUNDARY ==="


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        pytest.param(harness("def run_task(:\n    pass\n"), "line 7", id="syntax error"),
        pytest.param(harness(SOLVES).replace("class AutoAgent", "class AutoAgents", 1), "boundary", id="changed below"),
        pytest.param(harness(SOLVES, model="another"), "MODEL", id="another model"),
        pytest.param(harness("x = 1\n"), "run_task", id="no run_task"),
        pytest.param("print('hello')\n", "EDITABLE SECTION", id="no boundary"),
    ],
)
async def test_a_harness_that_cannot_be_measured_is_refused_by_name(tmp_path: Path, agent: str, said: str) -> None:
    workspace = make_workspace(tmp_path, agent=agent, settings=SETTINGS)
    async with in_memory(workspace) as call:
        with pytest.raises(ToolFailed, match=said):
            await call("run_suite", description="the baseline")


async def test_a_missing_agent_py_is_named(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), settings=SETTINGS)
    git(tmp_path, "rm", "-q", "agent.py")
    commit_all(tmp_path)
    async with in_memory(workspace) as call:
        with pytest.raises(ToolFailed, match=r"agent\.py"):
            await call("run_suite", description="the baseline")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise ValueError('no such key')", "no such key"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("import nothing_of_that_name", "nothing_of_that_name"),
    ],
)
async def test_a_harness_that_fails_at_import_fails_the_run_with_its_traceback(
    tmp_path: Path, line: str, said: str
) -> None:
    workspace = make_workspace(tmp_path, agent=harness(f"{line}\n{SOLVES}"), settings=SETTINGS)
    async with in_memory(workspace) as call:
        run = await call("run_suite", description="the baseline")
        assert run["state"] == "failed"
        assert said in run["error"]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        pytest.param("raise ValueError('lost my way')", "harness_crashed", id="raises"),
        pytest.param("await __import__('asyncio').sleep(9999)", "harness_timeout", id="never returns"),
        pytest.param("while True: pass", "harness_timeout", id="blocks its loop"),
        pytest.param("import os; os.kill(os.getppid(), 9); os._exit(1)", "harness_crashed", id="kills its parent"),
        pytest.param("import os; [os.fork() for _ in range(64)]; raise SystemExit", "harness_crashed", id="forks on"),
        pytest.param(
            "import sys; [print('x' * 10**6) for _ in range(1000)]; raise SystemExit", "harness_crashed", id="1 GB"
        ),
    ],
)
async def test_whatever_run_task_does_ends_that_trial_alone(tmp_path: Path, body: str, cause: str) -> None:
    task = {**ANSWER_TASK, "task.toml": 'schema_version = "1.4"\n[agent]\ntimeout_sec = 8\n'}
    bad = {**task, "instruction.md": "Be bad.\n"}
    agent = harness(
        "async def run_task(environment, instruction):\n"
        f"    if 'bad' in instruction:\n        {body}\n"
        "    await environment.exec('echo 42 > answer.txt')\n"
    )
    workspace = make_workspace(tmp_path, agent=agent, tasks={"bad": bad, "good": task}, settings=SETTINGS)
    async with in_memory(workspace) as call:
        run = await call("run_suite", description="the baseline", wait_sec=50)
        trials = {one["trial"]: one for one in (await call("read_run", run=run["run"]))["trials"]}
        trace = await call("read_trace", run=run["run"], trial="bad__1")
    assert trials["good__1"]["passed"]
    assert trials["bad__1"]["failure"].startswith(cause)
    assert "Be bad." in str(trace["steps"])


def without(name: str) -> dict[str, str]:
    return {path: text for path, text in ANSWER_TASK.items() if path != name}


@pytest.mark.parametrize(
    ("task", "said"),
    [
        pytest.param(without("tests/test.sh"), r"test\.sh", id="no tests"),
        pytest.param({**ANSWER_TASK, "task.toml": "[agent\n"}, "TOML", id="broken TOML"),
        pytest.param({**ANSWER_TASK, "environment/Dockerfile": "FROM x\nRUN make\n"}, "RUN", id="RUN"),
    ],
)
async def test_a_task_that_cannot_run_is_left_out_with_its_reason(
    tmp_path: Path, task: dict[str, str], said: str
) -> None:
    workspace = make_workspace(
        tmp_path, agent=harness(SOLVES), tasks={"good": ANSWER_TASK, "odd": task}, settings=SETTINGS
    )
    async with in_memory(workspace) as call:
        tasks = await call("list_tasks")
        run = await call("run_suite", description="the baseline", wait_sec=50)
    assert [one["task"] for one in tasks["tasks"]] == ["good"]
    assert said.replace("\\", "") in tasks["excluded"][0]
    assert (run["passed"], run["total"]) == (1, 1)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("read_run", {"run": "../0001"}),
        ("read_run", {"run": "/etc"}),
        ("read_trace", {"run": "0001", "trial": "../../agent.py"}),
        ("read_trace", {"run": "0001", "trial": "/etc/passwd"}),
        ("spot_check", {"tasks": ["../tasks/answer"], "description": "look elsewhere"}),
        ("spot_check", {"tasks": ["anwser"], "description": "misspelt"}),
    ],
)
async def test_an_unknown_name_is_refused_and_the_nearest_offered(
    tmp_path: Path, tool: str, arguments: dict[str, object]
) -> None:
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), settings=SETTINGS)
    async with in_memory(workspace) as call:
        await call("run_suite", description="the baseline", wait_sec=50)
        with pytest.raises(ToolFailed, match=r"There is no .*(nearest are|yet)"):
            await call(tool, **arguments)


async def test_a_second_server_on_the_workspace_reads_but_does_not_write(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), settings=SETTINGS)
    async with in_memory(workspace) as first:
        run = await first("run_suite", description="the baseline", wait_sec=50)
        async with in_memory(Workspace(folder=tmp_path)) as second:
            assert (await second("read_run", run=run["run"]))["run"]["passed"] == 1
            with pytest.raises(ToolFailed, match="Another server"):
                await second("run_suite", description="at the same time")


async def test_unrelated_dirty_files_are_left_alone(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), settings=SETTINGS)
    write_tree(tmp_path, {"notes.txt": "mine", "staged.txt": "staged"})
    git(tmp_path, "add", "staged.txt")
    before = git(tmp_path, "status", "--porcelain")
    async with in_memory(workspace) as call:
        await call("run_suite", description="the baseline", wait_sec=50)
        workspace.agent.write_text(harness(SOLVES + "    return 'longer'\n"), encoding="utf-8")
        await call("run_suite", description="no better", wait_sec=50)
        await call("revert_change", lesson="it was no better")
    assert git(tmp_path, "status", "--porcelain") == before


async def test_a_harness_that_crashes_in_every_trial_is_no_baseline(tmp_path: Path) -> None:
    crashes = "async def run_task(environment, instruction):\n    raise ValueError('no such model')"
    workspace = make_workspace(tmp_path, agent=harness(crashes), settings=SETTINGS)
    async with in_memory(workspace) as call:
        run = await call("run_suite", description="the baseline", wait_sec=50)
        assert "no baseline" in run["next"]
        workspace.agent.write_text(harness(SOLVES), encoding="utf-8")
        commit_all(tmp_path)
        assert (await call("run_suite", description="the baseline", wait_sec=50))["passed"] == 1


async def test_what_is_odd_about_a_task_is_said_with_the_run(tmp_path: Path) -> None:
    odd = {**ANSWER_TASK, "task.toml": "[enviroment]\nmemory_mb = 512\n"}
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), tasks={"odd": odd}, settings=SETTINGS)
    async with in_memory(workspace) as call:
        run = await call("run_suite", description="the baseline", wait_sec=50)
    assert any("enviroment" in notice for notice in run["notices"])
    assert any("runs offline" in notice for notice in run["notices"])
