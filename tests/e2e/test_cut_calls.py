"""Calls that a client cuts, and a person's stop, over stdio: no run is lost and none is made twice."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import anyio
import pytest
from mcp import Client, MCPError, StdioServerParameters
from support.clients import ToolFailed, caller, over_stdio
from support.workspaces import ANSWER_TASK, NO_MODEL, harness, make_workspace

from autoagent_mcp.models.status import Status
from autoagent_mcp.workspace import Workspace

SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1")
LONG = {**ANSWER_TASK, "task.toml": 'schema_version = "1.4"\n[agent]\ntimeout_sec = 600\n'}
TASKS = {f"t{number}": LONG for number in range(3)}


def sleeping(folder: Path, seconds: int) -> Workspace:
    agent = harness(
        "async def run_task(environment, instruction):\n"
        f"    await environment.exec('sleep {seconds}; echo 42 > answer.txt')"
    )
    return make_workspace(folder, agent=agent, tasks=TASKS, settings=SETTINGS)


async def command(workspace: Workspace, *words: str) -> str:
    """Run the command line beside the server."""
    line = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(workspace.folder), *words]
    return (await anyio.run_process(line)).stdout.decode()


async def test_a_call_that_is_cut_neither_loses_its_run_nor_makes_another(tmp_path: Path) -> None:
    workspace = sleeping(tmp_path, 4)
    words = ["-m", "autoagent_mcp", "--workspace", str(workspace.folder)]
    server = StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ))
    async with Client(server) as client:
        call = caller(client)
        await call("get_brief")
        with pytest.raises(MCPError, match=r"(?i)timed out"):
            await client.call_tool("run_suite", {"description": "cut"}, read_timeout_seconds=2)
        with anyio.fail_after(60):
            ended = await call("run_suite", description="asked again", wait_sec=50)
    assert (ended["run"], ended["state"], ended["passed"]) == ("0001", "complete", 3)
    assert sorted(path.name for path in workspace.runs.iterdir()) == ["0001"]
    trials = sorted(path.name for path in workspace.run("0001").iterdir() if path.is_dir())
    assert trials == ["t0__1", "t1__1", "t2__1"]
    for trial in trials:
        execs = workspace.trial("0001", trial).execs.read_text(encoding="utf-8").splitlines()
        assert sum("echo 42" in str(json.loads(line)) for line in execs) == 1


async def test_a_person_stops_the_loop_beside_the_server_and_takes_it_back(tmp_path: Path) -> None:
    workspace = sleeping(tmp_path, 600)
    async with over_stdio(workspace) as call:
        run = (await call("run_suite", description="the baseline", wait_sec=0))["run"]
        assert "--undo" in await command(workspace, "stop")
        with anyio.fail_after(60):
            cut = await call("wait_run", run=run, wait_sec=50)
        assert (cut["state"], "A person said stop" in cut["error"]) == ("cut", True)
        assert "A person said stop" in cut["next"]
        assert cut["next"].endswith("Done: no run can start any more, so end here.")
        with pytest.raises(ToolFailed, match="A person said stop"):
            await call("run_suite", description="go on", wait_sec=0)
        assert "Done: " in (await call("read_ledger"))["next"]
        assert "again" in await command(workspace, "stop", "--undo")
        again = await call("run_suite", description="go on", wait_sec=0)
        assert (again["run"], again["state"], "Done" in again["next"]) == (run, "running", False)
    status = Status.model_validate_json(workspace.status.read_bytes())
    assert (status.is_serving, status.is_looping, status.running, status.done) == (False, True, None, "")


async def test_stop_outside_a_workspace_says_what_is_missing(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(tmp_path), "stop"]
    done = await anyio.run_process(line, check=False)
    assert (done.returncode, b"holds no agent.py" in done.stderr) == (1, True)
