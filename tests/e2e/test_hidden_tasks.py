"""A night with hidden tasks: of all that the client received, nothing tells of them but one bit a keep."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from support.clients import Call, ToolFailed, caller
from support.hidden import Secrets, solver
from support.served import recording, served
from support.stub_upstream import running
from support.workspaces import ANSWER_TASK, NO_MODEL, make_workspace

from autoagent_mcp.workspace import Workspace

SETTINGS = "[split]\nhidden_dir = '../aside'\n[decision]\nrule = \"evidence\"\n"
VISIBLE = {name: {**ANSWER_TASK, "instruction.md": "Please write 42 to answer.txt."} for name in ("one", "two", "six")}
ONLY_HIDDEN, ONLY_VISIBLE = solver("'wants' in instruction"), solver("'Please' in instruction")

Recorded = Callable[[Workspace, Path], AbstractAsyncContextManager[Call]]


@asynccontextmanager
async def over_stdio(workspace: Workspace, folder: Path) -> AsyncGenerator[Call]:
    """Speak to a server over stdio, and keep every byte that it says."""
    server = shlex.join([sys.executable, "-m", "autoagent_mcp", "--workspace", str(workspace.folder)])
    line = f"{server} 2> {shlex.quote(str(folder / 'stderr'))} | tee {shlex.quote(str(folder / 'stdout'))}"
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    parameters = StdioServerParameters(command="bash", args=["-c", line], env=env)
    async with Client(parameters, mode="auto") as client:
        yield caller(client)


@asynccontextmanager
async def over_http(workspace: Workspace, folder: Path) -> AsyncGenerator[Call]:
    """Speak to a server over HTTP, and keep every byte that it says, headers and events."""
    async with (
        served(workspace, XDG_STATE_HOME=str(folder / "state")) as server,
        recording(server.port, folder / "stdout") as port,
    ):
        server.url = f"http://127.0.0.1:{port}/mcp"
        async with server.client() as call:
            yield call
        (folder / "stderr").write_bytes(server.stderr.read_bytes())


async def verdict(call: Call, workspace: Workspace, agent: str) -> str:
    """Measure a change, ask to keep it, and return the verdict."""
    workspace.agent.write_text(agent, encoding="utf-8")
    run = await call("run_suite", description="another one", wait_sec=120)
    await call("read_run", run=run["run"])
    await call("read_trace", run=run["run"], trial="one__1")
    answer = await call("keep_change", reflection="It reads the instruction, as any harness should.", wait_sec=120)
    await call("read_run", run=answer["run"]["run"])
    return str(answer["verdict"]["verdict"])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("recorded", [over_stdio, over_http])
async def test_what_a_client_receives_holds_no_word_of_a_hidden_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: Recorded
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    secrets = Secrets()
    secrets.write(tmp_path / "aside", 2)
    secrets.write_broken(tmp_path / "aside")
    secrets.plant(tmp_path / "aside", Workspace(folder=tmp_path / "work").id)
    hidden = next(path.name for path in (tmp_path / "aside").iterdir())
    async with running() as model:
        settings = NO_MODEL.format(url=model.url) + SETTINGS
        workspace = make_workspace(tmp_path / "work", agent=ONLY_HIDDEN, tasks=VISIBLE, settings=settings)
        async with recorded(workspace, tmp_path) as call:
            await call("run_suite", description="the baseline", wait_sec=120)
            with pytest.raises(ToolFailed, match="no task named"):
                await call("spot_check", tasks=[hidden[:-1]], attempts=1, description="is there one?")
            assert await verdict(call, workspace, ONLY_VISIBLE) == "refused"
            await call("revert_change", lesson="The hidden tasks speak against it.")
            listed = await call("list_tasks")
            await call("get_brief")
            await call("read_ledger")
        asked_of_the_model = secrets.found_in(str(model.bodies).encode())
    assert asked_of_the_model
    assert secrets.found_below(workspace.hidden.folder)
    assert [task["task"] for task in listed["tasks"]] == sorted(VISIBLE)
    received = (tmp_path / "stdout").read_bytes()
    assert received.count(b'"jsonrpc"') > 10
    assert b"trials, " in received  # of a progress message
    assert secrets.found_in(received + (tmp_path / "stderr").read_bytes()) == []
    assert secrets.found_below(workspace.folder) == {}
