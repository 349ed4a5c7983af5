"""What is left when a client vanishes, the server is killed, or the disk is full."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters
from support.clients import Call, ToolFailed, caller, over_stdio
from support.engines import left
from support.processes import has_ended, until, with_argument
from support.workspaces import ANSWER_TASK, NO_MODEL, harness, make_workspace

from autoagent_mcp.workspace import Workspace

SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1")


def two_task_workspace(folder: Path, marker: str, settings: str = SETTINGS) -> Workspace:
    """`quick` ends at once; `slow` runs a command that carries the marker and does not end."""
    agent = harness(
        "async def run_task(environment, instruction):\n"
        "    if 'slow' in instruction:\n"
        f"        await environment.exec('exec -a {marker} sleep 600')\n"
        "    await environment.exec('echo 42 > answer.txt')\n"
    )
    task = {**ANSWER_TASK, "task.toml": 'schema_version = "1.4"\n[agent]\ntimeout_sec = 300\n'}
    slow = {**task, "instruction.md": "Be slow.\n"}
    return make_workspace(folder, agent=agent, tasks={"quick": task, "slow": slow}, settings=settings)


async def start_and_wait_for_the_slow_trial(call: Call, workspace: Workspace, marker: str) -> str:
    run = (await call("run_suite", description="the baseline", wait_sec=0))["run"]
    quick = workspace.trial(run, "quick__1").trial
    await until(lambda: with_argument(marker) and quick.exists())
    return run


async def test_a_client_that_vanishes_leaves_no_process_and_no_finished_trial_is_lost(tmp_path: Path) -> None:
    marker = f"slow-{uuid.uuid4().hex}"
    workspace = two_task_workspace(tmp_path, marker)
    async with over_stdio(workspace) as call:
        run = await start_and_wait_for_the_slow_trial(call, workspace, marker)
    await until(lambda: not with_argument(marker))
    async with over_stdio(workspace) as call:
        seen = await call("read_run", run=run)
    assert seen["run"]["state"] in {"cancelled", "interrupted"}
    assert [one["trial"] for one in seen["trials"] if one["passed"]] == ["quick__1"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_a_killed_server_leaves_no_process_and_the_next_one_runs_only_what_is_missing(
    tmp_path: Path, number: signal.Signals
) -> None:
    marker = f"slow-{uuid.uuid4().hex}"
    workspace = two_task_workspace(tmp_path, marker)
    async with over_stdio(workspace) as call:
        run = await start_and_wait_for_the_slow_trial(call, workspace, marker)
        server = int(workspace.lock.read_text(encoding="utf-8"))
        os.kill(server, number)
        await until(lambda: has_ended(server))
    await until(lambda: not with_argument(marker))
    finished = workspace.trial(run, "quick__1").trial.read_bytes()
    async with over_stdio(workspace) as call:
        seen = await call("read_run", run=run)
        assert seen["run"]["state"] in {"cancelled", "interrupted"}
        trace = await call("read_trace", run=run, trial="slow__1")
        assert "Be slow." in str(trace["steps"])
        await call("run_suite", description="go on", wait_sec=0)
        await until(lambda: with_argument(marker))
        await call("cancel_run", run=run)
    assert workspace.trial(run, "quick__1").trial.read_bytes() == finished
    assert list(workspace.run(run).glob("slow__1*.failed"))


@pytest.mark.docker
@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_an_engine_has_nothing_of_a_killed_server_once_the_next_one_answers(
    tmp_path: Path, number: signal.Signals
) -> None:
    marker = f"slow-{uuid.uuid4().hex}"
    workspace = two_task_workspace(tmp_path, marker, f'{SETTINGS}[run]\nbackend = "docker"\n')
    async with over_stdio(workspace) as call:
        run = await start_and_wait_for_the_slow_trial(call, workspace, marker)
        assert left(workspace.id)
        server = int(workspace.lock.read_text(encoding="utf-8"))
        os.kill(server, number)
        await until(lambda: has_ended(server))
    if number is signal.SIGTERM:
        assert left(workspace.id) == []
    async with over_stdio(workspace) as call:
        seen = await call("read_run", run=run)
        assert [one["trial"] for one in seen["trials"] if one["passed"]] == ["quick__1"]
        assert left(workspace.id) == []
    assert not with_argument(marker)


async def test_a_full_disk_is_named_and_with_room_again_the_work_goes_on(tmp_path: Path) -> None:
    prepared, small = tmp_path / "prepared", tmp_path / "small"
    solves = "async def run_task(environment, instruction):\n    await environment.exec('echo 42 > answer.txt')"
    make_workspace(prepared, agent=harness(solves), settings=SETTINGS)
    async with on_a_small_disk(prepared, small) as call:
        with pytest.raises(ToolFailed, match=r"(?i)no space left|room on the disk"):  # noqa: PT012 - whoever meets it
            run = await call("run_suite", description="the baseline", wait_sec=50)
            raise ToolFailed(run["error"])
        (server,) = with_argument(f"--workspace\0{small}")
        Path(f"/proc/{server}/root{small}/filler").unlink()
        run = await call("run_suite", description="the baseline", wait_sec=50)
        assert (run["state"], run["passed"]) == ("complete", 1)


@asynccontextmanager
async def on_a_small_disk(prepared: Path, mounted: Path) -> AsyncGenerator[Call]:
    """Serve a copy of a workspace that lies on a file system with 40 kB left, in a mount namespace of its own."""
    mounted.mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    if shutil.which("unshare") is None or (await anyio.run_process([*unshare, "true"], check=False)).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    script = (
        'mount -t tmpfs -o size=4m small "$1" && cp -a "$2/." "$1" && mkdir "$1/.autoagent" && '
        'head -c 40000 /dev/zero > "$1/spare" && { cat /dev/zero > "$1/filler" 2>/dev/null; rm "$1/spare"; } && '
        'exec "$3" -m autoagent_mcp --workspace "$1"'
    )
    words = [*unshare, "sh", "-c", script, "sh", str(mounted), str(prepared), sys.executable]
    server = StdioServerParameters(command=words[0], args=words[1:], env=dict(os.environ))
    async with Client(server) as client:
        yield caller(client)
