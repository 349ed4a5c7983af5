"""Two clients with a server each on one workspace: one works, the other reads, and takes over when it is gone."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.clients import Call, ToolFailed, over_stdio
from support.hidden import solver
from support.processes import until
from support.stub_upstream import running
from support.workspaces import ANSWER_TASK, NO_MODEL, ended, git, make_workspace

REFLECTION = "It reads the instruction, as any harness should."
TASKS = {f"t{number}": ANSWER_TASK for number in range(3)}
PAIRED = 2
"""Trials of the confirm run that end before the first server is killed."""


async def reads_and_says_so(call: Call, run: str, server: int) -> None:
    """See that everything can be read beside another server, which every answer names."""
    reading: dict[str, dict[str, Any]] = {
        "get_brief": {},
        "list_tasks": {},
        "read_ledger": {},
        "read_run": {"run": "0001"},
        "read_trace": {"run": "0001", "trial": "t0__1"},
        "read_harness": {},
        "wait_run": {"run": run, "wait_sec": 0},
    }
    for tool, arguments in reading.items():
        assert f"Another server works on this workspace (process {server})" in (await call(tool, **arguments))["next"]


async def refuses_to_work(call: Call, run: str, server: int) -> None:
    """See that nothing can be changed from there, and that the refusal names the server that works."""
    working: dict[str, dict[str, Any]] = {
        "run_suite": {"description": "another idea"},
        "spot_check": {"description": "another idea", "tasks": ["t0"]},
        "keep_change": {"reflection": REFLECTION},
        "revert_change": {"lesson": "It did not help."},
        "edit_harness": {"file": "agent.py", "old": "import", "new": "import"},
        "cancel_run": {"run": run},
    }
    for tool, arguments in working.items():
        with pytest.raises(ToolFailed, match=rf"process {server}\); this one only reads.*takes over by itself"):
            await call(tool, **arguments)


async def waited_for_while_killed(call: Call, run: str, server: int) -> dict[str, Any]:
    """Wait for a run of a server that is killed meanwhile, and return how it is told to stand."""
    waited: list[dict[str, Any]] = []

    async def wait() -> None:
        waited.append(await call("wait_run", run=run, wait_sec=40))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        os.kill(server, signal.SIGKILL)
    return waited[0]


@pytest.mark.timeout(180)
async def test_the_second_server_reads_follows_and_finishes_what_the_first_was_killed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    async with running() as model:
        settings = NO_MODEL.format(url=model.url) + '[decision]\nrule = "evidence"\n'
        workspace = make_workspace(tmp_path / "work", agent=solver("False"), tasks=TASKS, settings=settings)
        async with over_stdio(workspace) as first, over_stdio(workspace) as second:
            assert (await first("run_suite", description="the baseline", wait_sec=120))["passed"] == 0
            workspace.agent.write_text(solver("instruction"), encoding="utf-8")
            assert (await first("run_suite", description="any task", wait_sec=120))["passed"] == 3
            model.hold_after(PAIRED)
            run = (await first("keep_change", reflection=REFLECTION, wait_sec=0))["run"]["run"]
            server = int(workspace.lock.read_text(encoding="utf-8"))
            await until(lambda: len(ended(workspace, run)) >= PAIRED)
            followed = (await second("read_run", run=run))["run"]
            assert (followed["state"], followed["done"]) == ("running", PAIRED)
            await reads_and_says_so(second, run, server)
            await refuses_to_work(second, run, server)
            before = ended(workspace, run)
            assert (await waited_for_while_killed(second, run, server))["state"] == "interrupted"
            model.reset()
            answer = await second("keep_change", reflection=REFLECTION, wait_sec=120)
            assert "Another server" not in (await second("get_brief"))["next"]
    assert (answer["run"]["run"], answer["experiment"]["decision"]) == (run, "keep (provisional)")
    assert before.items() <= ended(workspace, run).items()
    assert int(workspace.lock.read_text(encoding="utf-8")) != server
    assert git(workspace.folder, "show", "HEAD:agent.py") == solver("instruction").strip()
