"""What runs are measured on: a backend and a gateway, opened when first needed and kept for the server's life."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from autoagent_mcp.config import Config
from autoagent_mcp.gateway import app as gateway_app
from autoagent_mcp.gateway.app import Gateway
from autoagent_mcp.sandbox.base import Backend
from autoagent_mcp.sandbox.bubblewrap import BubblewrapBackend
from autoagent_mcp.workspace import Workspace, user_cache


class Bench:
    """Made by `open_bench`."""

    def __init__(self, workspace: Workspace, config: Config, stack: AsyncExitStack) -> None:
        self.workspace = workspace
        self.config = config
        self.backend: Backend = BubblewrapBackend(workspace.id, user_cache())
        self._stack = stack
        self._opening = anyio.Lock()
        self._is_checked = False
        self._gateway: Gateway | None = None

    async def ready_backend(self) -> Backend:
        """Return the backend, tried out once.

        Raises:
            SetupError: This machine cannot make its sandboxes.
        """
        async with self._opening:
            if not self._is_checked:
                await self.backend.check()
                self._is_checked = True
        return self.backend

    async def gateway(self) -> Gateway:
        """Return the gateway; the first call starts it, and the local model where that is the pinned one.

        Raises:
            SetupError: The model's key or the local model is not there.
        """
        async with self._opening:
            if self._gateway is None:
                self._gateway = await self._stack.enter_async_context(gateway_app.serve(self.config.model))
        return self._gateway


@asynccontextmanager
async def open_bench(workspace: Workspace, config: Config) -> AsyncGenerator[Bench]:
    """Make a bench whose gateway ends with this context."""
    async with AsyncExitStack() as stack:
        yield Bench(workspace, config, stack)
