"""A stub provider for each test."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from support import stub_upstream
from support.gateways import KEY_ENV
from support.stub_upstream import StubUpstream


@pytest.fixture
def anyio_backend() -> str:
    """Serve on asyncio: uvicorn knows no other."""
    return "asyncio"


@pytest.fixture
async def stub(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[StubUpstream]:
    """Run a provider, its key in the environment."""
    monkeypatch.setenv(KEY_ENV, stub_upstream.KEY)
    async with stub_upstream.running() as running:
        yield running
