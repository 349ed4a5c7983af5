"""The backends that must pass the contract."""

from __future__ import annotations

import fcntl
import io
from collections.abc import AsyncGenerator
from pathlib import Path

import docker
import pytest

from autoagent_mcp.sandbox.base import Backend, Image, Sandbox, SandboxSpec
from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend

WORKSPACE_ID = "0123456789ab"
BASE = "python:3.11-slim"
TOOLS = "autoagent-mcp-tests/contract:1"
"""The base with the programs that the contract's commands call."""
DOCKERFILE = f"""FROM {BASE}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends procps && rm -rf /var/lib/apt/lists/*
"""


@pytest.fixture(scope="session")
def tools_image(shared_folder: Path) -> str:
    client = docker.from_env()
    with (shared_folder / "tools-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not client.images.list(TOOLS):
            client.images.build(fileobj=io.BytesIO(DOCKERFILE.encode()), tag=TOOLS, rm=True, forcerm=True)
    client.close()
    return TOOLS


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def backend_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if (only := request.node.get_closest_marker("only_on")) and only.args[0] != name:
        pytest.skip(only.args[1])
    return name


@pytest.fixture
async def backend(backend_name: str, tmp_path: Path) -> AsyncGenerator[Backend]:
    if backend_name == "bubblewrap":
        yield BubblewrapBackend(WORKSPACE_ID, tmp_path / "cache")
        return
    from autoagent_mcp.sandbox.docker.backend import open_backend  # noqa: PLC0415

    async with open_backend(
        WORKSPACE_ID, cache=tmp_path / "cache", state=tmp_path / "state", harness_base=BASE
    ) as opened:
        yield opened


@pytest.fixture
def spec(backend_name: str, request: pytest.FixtureRequest) -> SandboxSpec:
    base = request.getfixturevalue("tools_image") if backend_name == "docker" else "debian:bookworm-slim"
    return SandboxSpec(name="contract", image=Image(id=base, base=base))


@pytest.fixture
async def sandbox(backend: Backend, spec: SandboxSpec) -> AsyncGenerator[Sandbox]:
    async with backend.start(spec) as started:
        yield started
