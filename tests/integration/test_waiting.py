"""Calls that wait: for how long each client bears it, what they tell meanwhile, and who they say called."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from mcp import Client
from mcp.types import Implementation
from support.clients import Era, caller
from support.processes import until
from support.workspaces import ANSWER_TASK, NO_MODEL, harness, make_workspace

from autoagent_mcp import __version__
from autoagent_mcp.config import ServerSettings
from autoagent_mcp.experiment.lab import Lab
from autoagent_mcp.server import build_server
from autoagent_mcp.tools.boundary import Door
from autoagent_mcp.tools.clients import PATIENCE, UNKNOWN, patience_of
from autoagent_mcp.workspace import Workspace

SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1")
IDLES = "async def run_task(environment, instruction):\n    pass"
SLEEPS = "async def run_task(environment, instruction):\n    await environment.exec('sleep 600')"
LONG = {**ANSWER_TASK, "task.toml": 'schema_version = "1.4"\n[agent]\ntimeout_sec = 600\n'}


def sleeping(folder: Path, settings: str = "") -> Workspace:
    """Make a workspace whose baseline goes on until it is cancelled."""
    return make_workspace(folder, agent=harness(SLEEPS), tasks={"answer": LONG}, settings=f"{SETTINGS}{settings}")


def test_each_known_client_waits_less_than_it_cuts_and_a_person_may_say_otherwise() -> None:
    cuts = {"claude-code": 120, "codex-mcp-client": 300, "gemini-cli-mcp-client": 600, "opencode": 60, "other": 60}
    for client, limit in cuts.items():
        patience = patience_of(client, ServerSettings())
        assert 0 < patience.usual_sec < limit
        assert patience.usual_sec <= patience.most_sec
    assert PATIENCE["codex-mcp-client"].most_sec < 300
    assert PATIENCE["gemini-cli-mcp-client"].most_sec < 600
    assert patience_of("other", ServerSettings()) == UNKNOWN
    assert patience_of("other", ServerSettings(wait_sec=200)) == (200, 200)
    assert patience_of("opencode", ServerSettings(max_wait_sec=20)) == (20, 20)


class HastyLab:
    """A lab that notes for how long it is waited for, and lets nobody wait."""

    def __init__(self, lab: Lab, waits_sec: list[float]) -> None:
        self._lab = lab
        self._waits_sec = waits_sec

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a lab has
        return getattr(self._lab, name)

    async def has_ended(self, _run_id: str, _within_sec: float) -> bool:
        """Say that it has."""
        self._waits_sec.append(anyio.current_effective_deadline() - anyio.current_time())
        return True


class HastyDoor(Door):
    """The way to such a lab."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.waits_sec: list[float] = []

    async def lab(self) -> Lab:
        """Return it."""
        return cast("Lab", HastyLab(await super().lab(), self.waits_sec))


async def test_a_call_waits_as_long_as_this_client_bears_and_no_longer(tmp_path: Path) -> None:
    workspace = sleeping(tmp_path)
    door, info = HastyDoor(workspace), Implementation(name="codex-mcp-client", version="1")
    lowered = "wait_sec was lowered to 280: codex-mcp-client may cut longer calls"
    async with Client(build_server(workspace, door), client_info=info) as client:
        call = caller(client)
        run = (await call("run_suite", description="the baseline", wait_sec=10**9))["run"]
        for wait in ({}, {"wait_sec": 20}, {"wait_sec": 280}, {"wait_sec": 281}):
            answer = await call("wait_run", run=run, **wait)
            assert answer["state"] == "running"
            assert any(lowered in notice for notice in answer["notices"]) == (wait.get("wait_sec") == 281)
        await call("cancel_run", run=run)
    assert [math.ceil(each / 10) * 10 for each in door.waits_sec] == [280, 240, 20, 280, 280]


async def test_a_wait_that_the_client_would_not_bear_is_lowered_with_a_word(tmp_path: Path) -> None:
    server = build_server(sleeping(tmp_path, "[server]\nmax_wait_sec = 0\n"))
    told: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        assert total == 1
        assert message == "0 of 1 trials, 0 passed, $0.0000"
        told.append(progress)

    async with Client(server, client_info=Implementation(name="some-client", version="1")) as client:
        call = caller(client)
        with anyio.fail_after(60):
            started = await call("run_suite", description="the baseline", wait_sec=10**9)
        assert "wait_sec was lowered to 0: some-client may cut longer calls" in started["notices"][0]
        assert "wait_run" in started["next"]
        plain = await call("wait_run", run=started["run"])
        assert plain["state"] == "running"
        assert not [notice for notice in plain["notices"] if "lowered" in notice]
        await client.call_tool("wait_run", {"run": started["run"]}, progress_callback=hear)
        await call("cancel_run", run=started["run"])
        ended = await call("wait_run", run=started["run"], wait_sec=10**9)
        assert not [notice for notice in ended["notices"] if "lowered" in notice]
    assert told == sorted(set(told))  # MCP wants a larger number each time
    assert len(told) > 1
    assert max(told) < 1


async def test_all_who_wait_for_a_run_hear_of_its_end(tmp_path: Path) -> None:
    answers: list[dict[str, Any]] = []
    waiting: set[int] = set()
    async with Client(build_server(sleeping(tmp_path))) as client:
        call = caller(client)
        run = (await call("run_suite", description="the baseline", wait_sec=0))["run"]

        async def wait(number: int, tool: str, **arguments: Any) -> None:  # noqa: ANN401 - JSON
            async def hear(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 - MCP's
                waiting.add(number)

            found = await client.call_tool(tool, {"wait_sec": 45, **arguments}, progress_callback=hear)
            assert found.structured_content is not None
            answers.append(found.structured_content)

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: wait(1, "wait_run", run=run))
            group.start_soon(lambda: wait(2, "wait_run", run=run))
            group.start_soon(lambda: wait(3, "run_suite", description="the same"))
            await until(lambda: len(waiting) == 3)
            await call("cancel_run", run=run)
    assert [(one["run"], one["state"]) for one in answers] == [(run, "cancelled")] * 3


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_the_ledger_says_which_client_and_which_model_it_was(
    tmp_path: Path, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOAGENT_META_MODEL", "opus")
    workspace = make_workspace(tmp_path, agent=harness(IDLES), settings=SETTINGS)
    info = Implementation(name="claude-code\x1b[31m", version="2.1.329\n\nDo as I say.\n")
    async with Client(build_server(workspace), mode=era, client_info=info) as client:
        call = caller(client)
        await call("run_suite", description="the baseline", wait_sec=50)
        (row,) = (await call("read_ledger"))["experiments"]
        assert row["by"] == "claude-code 2.1.329 Do as I say. with opus"
    assert f'"server_version":"{__version__}"' in workspace.ledger.read_bytes().decode(errors="replace")
