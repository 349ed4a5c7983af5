"""A host for each trial, without namespaces of its own: in a sandbox of its own, or in the task's.

Trials are then kept apart by their sandboxes. Each imports agent.py by itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakSet

import anyio

from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.errors import HarnessError, SandboxError, SandboxRefused
from autoagent_mcp.harness import program
from autoagent_mcp.harness.attempt import HarnessEnd, Order, attempt, end_with_host, imported, is_lost
from autoagent_mcp.harness.package import FOLDER, Package
from autoagent_mcp.harness.tunnel import Tunnel, connect
from autoagent_mcp.sandbox.base import HARNESS_LIBRARIES, Backend, Limits, Process, Sandbox, SandboxSpec

_MODULES = ("frames", "environment", "streams", "wire", "work", "alone")
_OLDEST_PYTHON = (3, 10)
_HINT = 'Install Python 3.10 or newer in the image, or set `where = "own"` in autoagent.toml under [harness].'
_LIMITS = Limits(memory_mb=2048, processes=256, storage_mb=64)
"""Of a trial's own harness sandbox: what a child gets in a shared one."""


class LoneHarness:
    """Implements `process.HarnessProcess`: one sandbox for each trial, where the kernel allows no namespaces inside.

    Args:
        backend: Where.
        package: What to run.
        name: Of the sandboxes.
        why: What the kernel refused.
    """

    def __init__(self, backend: Backend, package: Package, name: str, *, why: str) -> None:
        self._backend, self._package, self._name = backend, package, name
        self._content = package.archive(with_host=False)
        self.notices: tuple[str, ...] = (f"{why} Each trial gets a harness sandbox of its own, which takes longer.",)

    async def check(self) -> None:
        """Start a sandbox and import agent.py in it.

        Raises:
            HarnessError: agent.py cannot be imported.
            SandboxError: The sandbox could not be started.
        """
        async with self._host():
            return

    async def equipped(self, spec: SandboxSpec) -> SandboxSpec:
        """See `process.HarnessProcess.equipped`; it runs elsewhere."""
        return spec

    async def try_task(self, order: Order, sandbox: Sandbox, user: str | int | None = None) -> HarnessEnd:  # noqa: ARG002
        """See `process.HarnessProcess.try_task`."""
        try:
            async with self._host() as tunnel:
                return await attempt(tunnel, order)
        except SandboxError as error:
            return HarnessEnd(how="lost", detail=str(error))
        except HarnessError as error:
            return HarnessEnd(how="crashed", detail=str(error))

    @asynccontextmanager
    async def _host(self) -> AsyncGenerator[Tunnel]:
        image, mounts, python = await self._backend.prepare_harness(self._package.requirements)
        spec = SandboxSpec(name=self._name, image=image, mounts=mounts, limits=_LIMITS, role="harness")
        async with self._backend.start(spec) as own:
            await own.put(self._content, FOLDER)
            async with _host_in(own, self._package, python=python, user="") as tunnel:
                yield tunnel


class TaskHarness:
    """Implements `process.HarnessProcess`: in each task's own sandbox, for agents whose tools act on local files."""

    def __init__(self, backend: Backend, package: Package) -> None:
        self._backend, self._package = backend, package
        self._content = package.archive(with_host=False)
        self._python = ""
        self._seen: WeakSet[Sandbox] = WeakSet()
        """Where a host has come up before: that it does not again is the doing of what ran there."""
        self.notices: tuple[str, ...] = ()

    async def equipped(self, spec: SandboxSpec) -> SandboxSpec:
        """See `process.HarnessProcess.equipped`."""
        try:
            image, mounts, self._python = await self._backend.prepare_harness(self._package.requirements, spec.image)
        except HarnessError as error:
            raise SandboxRefused(error.problem, _HINT) from error
        return spec.model_copy(update={"image": image, "mounts": (*spec.mounts, *mounts)})

    async def try_task(self, order: Order, sandbox: Sandbox, user: str | int | None = None) -> HarnessEnd:
        """See `process.HarnessProcess.try_task`."""
        try:
            await sandbox.put(self._content, FOLDER)
            name = "" if user is None else str(user)
            async with _host_in(sandbox, self._package, python=self._python, user=name) as tunnel:
                self._seen.add(sandbox)
                return await attempt(tunnel, order)
        except HarnessError as error:
            return HarnessEnd(how="crashed", detail=str(error))
        except SandboxError as error:
            if sandbox not in self._seen or await is_lost(sandbox):
                raise
            return HarnessEnd(how="crashed", detail=str(error))


@asynccontextmanager
async def _host_in(sandbox: Sandbox, package: Package, *, python: str, user: str) -> AsyncGenerator[Tunnel]:
    """Run a host in a sandbox, with agent.py imported; nothing of it runs when the context is left.

    Raises:
        HarnessError: agent.py cannot be imported, or breaks the host.
        SandboxRefused: There is no Python that will do.
        SandboxError: The sandbox is gone.
    """
    words = (user, str(HARNESS_LIBRARIES))
    process = await sandbox.spawn(program.argv(_MODULES, _OLDEST_PYTHON, *words, python=python))
    try:
        async with connect(process, package.gateway_port) as tunnel, background_tasks() as group:
            group.start_soon(end_with_host, tunnel, sandbox)
            await _see_imported(tunnel, package, process, sandbox)
            yield tunnel
    finally:
        with anyio.CancelScope(shield=True):
            await process.kill()


async def _see_imported(tunnel: Tunnel, package: Package, process: Process, sandbox: Sandbox) -> None:
    """Wait for the import; what breaks a host that shares its sandbox with agent.py is agent.py's failure."""
    try:
        await imported(tunnel, package.import_timeout_sec)
    except SandboxError as error:
        if tunnel.imported is None and await program.found_no_python(process):
            raise SandboxRefused("A harness runs only where there is a Python 3.10 or newer.", _HINT) from error
        if await is_lost(sandbox):
            raise
        raise HarnessError(
            f"agent.py did not get to its task: {error.problem}", "Correct it and call again."
        ) from error
