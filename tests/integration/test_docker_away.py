"""An engine that is away, or silent, at a bad moment: nobody waits for it for ever."""

from __future__ import annotations

import uuid
from pathlib import Path

import anyio
import pytest
from support.engines import BASE, over_tcp

from autoagent_mcp.sandbox.docker.backend import open_backend

pytestmark = pytest.mark.docker


@pytest.fixture
def workspace_id() -> str:
    return uuid.uuid4().hex[:12]


async def test_a_server_ends_though_its_engine_came_back_after_the_last_run(
    workspace_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with over_tcp() as way:
        monkeypatch.setenv("DOCKER_HOST", way.url)
        async with open_backend(workspace_id, cache=tmp_path, state=tmp_path / "state", harness_base=BASE) as backend:
            async with backend.in_use():
                way.hold()
                await way.held.wait()  # for it is asked for its events again
            way.go_on()
            with anyio.fail_after(10):
                await way.gone.wait()
