"""The backends that must pass the contract."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from autoagent_mcp.sandbox.base import Backend, Image, Sandbox, SandboxSpec
from autoagent_mcp.sandbox.bubblewrap import BubblewrapBackend

WORKSPACE_ID = "0123456789ab"


@pytest.fixture(params=["bubblewrap"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    assert request.param == "bubblewrap"
    return BubblewrapBackend(WORKSPACE_ID, tmp_path / "cache")


@pytest.fixture
def spec() -> SandboxSpec:
    return SandboxSpec(name="contract", image=Image(id="contract", base="debian:bookworm-slim"))


@pytest.fixture
async def sandbox(backend: Backend, spec: SandboxSpec) -> AsyncGenerator[Sandbox]:
    async with backend.start(spec) as started:
        yield started
