"""One sandbox for a whole run: agent.py is imported in it once, and a child forked for each trial."""

from __future__ import annotations

import os

import anyio
from anyio.abc import TaskGroup, TaskStatus

from autoagent_mcp.errors import AutoagentError, HarnessError, SandboxError
from autoagent_mcp.harness.attempt import HarnessEnd, Order, RefusedError, attempt, end_with_host, imported
from autoagent_mcp.harness.package import FOLDER, LIBRARY, Package
from autoagent_mcp.harness.program import INSIDE
from autoagent_mcp.harness.tunnel import Tunnel, connect
from autoagent_mcp.sandbox.base import Backend, Limits, Sandbox, SandboxSpec

_BOOT = f"import sys; sys.path.insert(0, '{LIBRARY}'); from {INSIDE}.host import main; main()"


class SharedHarness:
    """Implements `process.HarnessProcess`.

    Should its sandbox break, the trials that are live in it end, and the next one gets a new sandbox.
    """

    def __init__(self, backend: Backend, package: Package, name: str) -> None:
        self._backend, self._package, self._name = backend, package, name
        self._content = package.archive(with_host=True)
        self._starting = anyio.Lock()
        self._tunnel: Tunnel | None = None
        self.notices: tuple[str, ...] = ()

    async def open(self, group: TaskGroup) -> None:
        """Start the first sandbox; `group` is where it lives.

        Raises:
            HarnessError: agent.py cannot be imported, or its requirements cannot be installed.
            RefusedError: The kernel refuses the namespaces that keep trials apart.
            SandboxError: The sandbox could not be started.
        """
        self._group = group
        image, mounts, self._python = await self._backend.prepare_harness(self._package.requirements)
        self._spec = SandboxSpec(name=self._name, image=image, mounts=mounts, limits=_limits(), role="harness")
        await self._ready()

    async def equipped(self, spec: SandboxSpec) -> SandboxSpec:
        """See `process.HarnessProcess.equipped`; it runs elsewhere."""
        return spec

    async def try_task(self, order: Order, sandbox: Sandbox, user: str | int | None = None) -> HarnessEnd:  # noqa: ARG002
        """See `process.HarnessProcess.try_task`."""
        try:
            tunnel = await self._ready()
        except (HarnessError, RefusedError) as error:  # the kernel allowed the first one what it needs
            return HarnessEnd(how="crashed", detail=str(error))
        except SandboxError as error:
            return HarnessEnd(how="lost", detail=str(error))
        return await attempt(tunnel, order)

    async def _ready(self) -> Tunnel:
        async with self._starting:
            tunnel = self._tunnel
            if tunnel is None or tunnel.gone.is_set():
                tunnel = self._tunnel = await self._group.start(self._live)
            return tunnel

    async def _live(self, *, task_status: TaskStatus[Tunnel]) -> None:
        """Be one sandbox's life."""
        failure: AutoagentError | None = None
        async with self._backend.start(self._spec) as sandbox:
            await sandbox.put(self._content, FOLDER)
            process = await sandbox.spawn((self._python, "-I", "-S", "-B", "-c", _BOOT))
            try:
                async with connect(process, self._package.gateway_port) as tunnel:
                    try:
                        self.notices = await imported(tunnel, self._package.import_timeout_sec)
                    except AutoagentError as error:
                        failure = error
                    else:
                        task_status.started(tunnel)
                        await end_with_host(tunnel, sandbox)
            finally:
                await process.kill()
        if failure is not None:
            raise failure


def _limits() -> Limits:
    """Return what a harness sandbox may use: it holds every live trial of a run, so it is bounded by the machine."""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024)
    return Limits(memory_mb=memory_mb * 3 // 4, processes=8192, storage_mb=256)
