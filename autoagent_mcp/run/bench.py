"""What runs are measured on: a backend and a gateway, opened when first needed and kept for the server's life."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.config import Config
from autoagent_mcp.errors import SetupError
from autoagent_mcp.gateway import app as gateway_app
from autoagent_mcp.gateway.app import Gateway
from autoagent_mcp.sandbox.base import Backend
from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend
from autoagent_mcp.task import canary
from autoagent_mcp.workspace import Workspace, user_cache, user_state

_FIRST_LOOK_SEC = 3
"""For Docker to answer where bubblewrap would do as well: the first call waits for it."""


@dataclass
class _Shared:
    """What is opened once, for whichever place."""

    gateway: Gateway | None = None


class Bench:
    """Made by `open_bench`."""

    def __init__(
        self, workspace: Workspace, workspace_id: str, config: Config, group: TaskGroup, backends: Mapping[str, Backend]
    ) -> None:
        self.workspace = workspace
        self._workspace_id = workspace_id
        self.config = config
        self._backends = backends
        self._group = group
        self._opening = anyio.Lock()
        self._is_checked = False
        self._shared = _Shared()
        self.backend = backends["bubblewrap"]
        self.notices: tuple[str, ...] = ()
        """Why Docker was not taken, where `auto` would rather have had it."""

    def at(self, workspace: Workspace) -> Bench:
        """Return a bench whose runs are written to another place; backend, gateway and settings are this one's."""
        bench = copy.copy(self)
        bench.workspace = workspace
        return bench

    async def choose(self) -> None:
        """Take the backend that the settings name; for `auto` Docker where an engine answers, else bubblewrap."""
        wanted = self.config.run.backend
        if wanted == "auto":
            try:
                await self._backends["docker"].check(patience_sec=_FIRST_LOOK_SEC)
            except SetupError as error:
                wanted = "bubblewrap"
                self.notices = (f"Docker was not taken: {error.problem}",)
            else:
                wanted = "docker"
        self.backend = self._backends[wanted]

    def pin(self, name: str) -> None:
        """Take the backend that the baseline was measured on, where the settings leave it open."""
        if self.config.run.backend == "auto" and name in self._backends:
            self.backend = self._backends[name]
            self.notices = ()
            self._is_checked = False

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
            SetupError, GatewayError: The model's key or the local model is not there, or the user's state folder cannot
                be written.
        """
        async with self._opening:
            gateway = self._shared.gateway
            if gateway is None:
                gateway = self._shared.gateway = await self._group.start(self._keep_gateway)
        return gateway

    async def _keep_gateway(self, *, task_status: TaskStatus[Gateway]) -> None:
        """Be the gateway's life: it is left by the task that entered it, whichever run asked for it first."""
        canaries = await anyio.to_thread.run_sync(canary.open_canaries, self._workspace_id)
        async with gateway_app.serve(self.config.model, judge=self.config.judge, canaries=canaries) as gateway:
            task_status.started(gateway)
            await anyio.sleep_forever()


@asynccontextmanager
async def open_bench(workspace: Workspace, config: Config, *, workspace_id: str | None = None) -> AsyncGenerator[Bench]:
    """Make a bench whose gateway ends with this context.

    Args:
        workspace: Where runs are written.
        config: The settings.
        workspace_id: Whose sandboxes these are, where that is not `workspace`.
    """
    async with _backends(workspace_id or workspace.id, config) as backends, background_tasks() as group:
        bench = Bench(workspace, workspace_id or workspace.id, config, group, backends)
        await bench.choose()
        yield bench


@asynccontextmanager
async def _backends(workspace_id: str, config: Config) -> AsyncGenerator[Mapping[str, Backend]]:
    bubblewrap = BubblewrapBackend(workspace_id, user_cache())
    if config.run.backend == "bubblewrap":
        yield {"bubblewrap": bubblewrap}
        return
    # Loaded only where it may be used: the docker package takes 0.2 s.
    from autoagent_mcp.sandbox.docker.backend import open_backend  # noqa: PLC0415

    async with open_backend(
        workspace_id, cache=user_cache(), state=user_state(), harness_base=config.harness.image
    ) as docker:
        yield {"docker": docker, "bubblewrap": bubblewrap}
