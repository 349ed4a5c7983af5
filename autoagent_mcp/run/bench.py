"""What runs are measured on: a backend and a gateway, opened when first needed and kept for the server's life."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup, TaskStatus

from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.config import Config
from autoagent_mcp.gateway import app as gateway_app
from autoagent_mcp.gateway.app import Gateway
from autoagent_mcp.sandbox.base import Backend
from autoagent_mcp.sandbox.bubblewrap import BubblewrapBackend
from autoagent_mcp.workspace import Workspace, user_cache


class Bench:
    """Made by `open_bench`."""

    def __init__(self, workspace: Workspace, config: Config, group: TaskGroup) -> None:
        self.workspace = workspace
        self.config = config
        self.backend: Backend = BubblewrapBackend(workspace.id, user_cache())
        self._group = group
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
            SetupError, GatewayError: The model's key or the local model is not there.
        """
        async with self._opening:
            gateway = self._gateway
            if gateway is None:
                gateway = self._gateway = await self._group.start(self._keep_gateway)
        return gateway

    async def _keep_gateway(self, *, task_status: TaskStatus[Gateway]) -> None:
        """Be the gateway's life: it is left by the task that entered it, whichever run asked for it first."""
        async with gateway_app.serve(self.config.model) as gateway:
            task_status.started(gateway)
            await anyio.sleep_forever()


@asynccontextmanager
async def open_bench(workspace: Workspace, config: Config) -> AsyncGenerator[Bench]:
    """Make a bench whose gateway ends with this context."""
    async with background_tasks() as group:
        yield Bench(workspace, config, group)
