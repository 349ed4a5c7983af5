"""A stub provider for each test."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from support import stub_upstream
from support.gateways import KEY_ENV
from support.stub_upstream import StubUpstream


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Serve on asyncio: uvicorn knows no other."""
    return "asyncio"


@pytest.fixture(scope="module")
async def provider() -> AsyncGenerator[StubUpstream]:
    """Run one provider for a module: starting and stopping it takes 0.2 s."""
    async with stub_upstream.running() as running:
        yield running


@pytest.fixture
def stub(provider: StubUpstream, monkeypatch: pytest.MonkeyPatch) -> StubUpstream:
    """Return a provider that has met nobody yet, its key in the environment."""
    monkeypatch.setenv(KEY_ENV, stub_upstream.KEY)
    provider.reset()
    return provider
