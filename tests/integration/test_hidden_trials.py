"""Hidden tasks tried in real sandboxes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from support.hidden import Secrets, solver
from support.stub_upstream import StubUpstream, running
from support.wire import Answer, Json
from support.workspaces import NO_MODEL, make_workspace

from autoagent_mcp import config as config_file
from autoagent_mcp.experiment.hidden import Hidden, open_hidden
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.workspace import Workspace

GOOD = {"agent.py": solver("True").encode()}
BAD = {"agent.py": solver("'wants' not in instruction").encode()}


@asynccontextmanager
async def night(folder: Path, secrets: Secrets) -> AsyncGenerator[tuple[Hidden, Workspace, StubUpstream]]:
    """Open the hidden tasks of a workspace, with a stub for a model."""
    secrets.write(folder / "aside", 3)
    async with running() as model:
        settings = f"{NO_MODEL.format(url=model.url)}[split]\nhidden_dir = '../aside'\n"
        workspace = make_workspace(folder / "work", agent=solver("True"), settings=settings)
        workspace.state.mkdir()
        async with open_bench(workspace, config_file.load(workspace.folder)) as bench:
            hidden = await open_hidden(bench)
            assert hidden is not None
            yield hidden, workspace, model


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the tests measure apart."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


async def test_a_case_that_was_broken_off_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    async with night(tmp_path, Secrets()) as (hidden, workspace, model):
        with anyio.CancelScope() as scope:

            def answer(_: Json) -> Answer:
                if len(model.received) == 8:
                    scope.cancel()
                return Answer(text="Well.")

            model.answer = answer
            await hidden.is_worse("0002", BAD, GOOD)
        assert scope.cancelled_caught
        before = {path: path.read_bytes() for path in workspace.hidden.runs.glob("*/*__*/trial.json")}
        counted = {path: data for path, data in before.items() if b'"reward": null' not in data}
        assert counted
        assert await hidden.is_worse("0002", BAD, GOOD)
        assert {path: path.read_bytes() for path in counted} == counted
