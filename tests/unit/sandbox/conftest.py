"""Sandboxes for what only bubblewrap does."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from autoagent_mcp.sandbox.base import Image, Sandbox, SandboxSpec
from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend


@pytest.fixture
def backend(tmp_path: Path) -> BubblewrapBackend:
    return BubblewrapBackend("0123456789ab", tmp_path / "cache")


@pytest.fixture
def spec() -> SandboxSpec:
    return SandboxSpec(name="unit", image=Image(id="unit", base="debian:bookworm-slim"))


@pytest.fixture
async def sandbox(backend: BubblewrapBackend, spec: SandboxSpec) -> AsyncGenerator[Sandbox]:
    async with backend.start(spec) as started:
        yield started
