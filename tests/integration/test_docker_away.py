"""An engine that is away, silent or unwilling at a bad moment: nobody waits for it for ever, and nothing else stops."""

from __future__ import annotations

import uuid
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import docker
import pytest
from support.engines import BASE, left, over_tcp

from autoagent_mcp.errors import EngineError
from autoagent_mcp.sandbox.docker.backend import DockerBackend, open_backend
from autoagent_mcp.sandbox.docker.engine import Engine
from autoagent_mcp.sandbox.docker.owners import Owner
from autoagent_mcp.sandbox.docker.watch import Watch

pytestmark = pytest.mark.docker
Client = Any
"""docker.APIClient, whose published types leave most of its methods unknown."""


@pytest.fixture
def workspace_id() -> str:
    return uuid.uuid4().hex[:12]


def opened(workspace_id: str, folder: Path) -> AbstractAsyncContextManager[DockerBackend]:
    return open_backend(workspace_id, cache=folder / "cache", state=folder / "state", harness_base=BASE)


async def test_a_server_ends_though_its_engine_came_back_after_the_last_run(
    workspace_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with over_tcp() as way:
        monkeypatch.setenv("DOCKER_HOST", way.url)
        async with opened(workspace_id, tmp_path) as backend:
            async with backend.in_use():
                way.hold()
                await way.held.wait()  # for it is asked for its events again
            way.go_on()
            with anyio.fail_after(10):
                await way.gone.wait()


async def test_the_line_to_an_engine_begins_in_time_or_not_at_all_and_then_may_be_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with over_tcp() as way:
        monkeypatch.setenv("DOCKER_HOST", way.url)
        engine = Engine()
        await engine.connect()
        engine.client.timeout = 0.5
        watch = Watch(engine, "nobody")
        async with anyio.create_task_group() as group:
            await group.start(watch.run)
            await anyio.sleep(1)  # nothing happens, for longer than an answer may take
            assert watch.generation == 0
            way.hold()
            await way.held.wait()
            watch.stop()
        assert watch.generation == 1
        await engine.aclose()


async def test_a_leftover_that_cannot_be_removed_now_is_left_to_the_next_start(
    workspace_id: str, tmp_path: Path
) -> None:
    dead = Owner(tmp_path / "state")
    dead.give_up()
    labels = {"autoagent-mcp.workspace": workspace_id, "autoagent-mcp.owner": dead.label}
    client: Client = docker.APIClient(version="auto")
    free, busy = (client.create_network(f"{workspace_id}-{name}", labels=labels)["Id"] for name in ("free", "busy"))
    config = client.create_host_config(network_mode=busy)
    somebody = client.create_container(BASE, ["sleep", "1000"], host_config=config)["Id"]
    try:
        client.start(somebody)
        async with opened(workspace_id, tmp_path) as backend:
            assert await backend.remove_leftovers(workspace_id) == 1
            assert left(workspace_id) == [f"network {busy}"]
            client.remove_container(somebody, force=True)
            assert await backend.remove_leftovers(workspace_id) == 1
    finally:
        for one in client.containers(all=True, filters={"id": somebody}):
            client.remove_container(one["Id"], force=True)
        for one in client.networks(filters={"id": [free, busy]}):
            client.remove_network(one["Id"])
        client.close()


async def test_what_an_engine_says_becomes_a_sentence_with_one_full_stop(workspace_id: str) -> None:
    engine = Engine()
    await engine.connect()
    try:
        await engine.call(engine.client.create_container, BASE, name=workspace_id)
        with pytest.raises(EngineError) as caught:  # 'Conflict. The container name "..." is already in use by ... .'
            await engine.call(engine.client.create_container, BASE, name=workspace_id)
        assert "is already in use" in caught.value.problem
        assert caught.value.problem.endswith("reuse that name.")
    finally:
        await engine.call(engine.client.remove_container, workspace_id)
        await engine.aclose()
