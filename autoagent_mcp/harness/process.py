"""A harness, ready to try tasks, wherever it runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Literal, Protocol

from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.harness.attempt import HarnessEnd, Order, RefusedError
from autoagent_mcp.harness.lone import LoneHarness, TaskHarness
from autoagent_mcp.harness.package import Package
from autoagent_mcp.harness.shared import SharedHarness
from autoagent_mcp.sandbox.base import Backend, Sandbox, SandboxSpec

__all__ = ["HarnessEnd", "HarnessProcess", "Order", "start"]

_IMPORT_SEC = 60.0


class HarnessProcess(Protocol):
    """A harness, ready to try tasks; made by `start`."""

    notices: tuple[str, ...]
    """What a person should know of how it runs."""

    async def equipped(self, spec: SandboxSpec) -> SandboxSpec:
        """Return a task's sandbox with what the harness needs inside it.

        Raises:
            SandboxRefused: The harness's requirements cannot be installed there.
            SandboxError: The image could not be made.
        """
        ...

    async def try_task(self, order: Order, sandbox: Sandbox, user: str | int | None = None) -> HarnessEnd:
        """Let the harness try a task; when this returns or raises, nothing of the trial runs any more.

        Args:
            order: What to try.
            sandbox: The task's.
            user: Who the task's agent is there; None means the sandbox's own user.

        Raises:
            SandboxError: The task's sandbox is gone, or the harness that runs inside it cannot.
            OSError: `order.log` cannot be written.
        """
        ...


@asynccontextmanager
async def start(
    backend: Backend,
    files: Mapping[str, bytes],
    *,
    name: str,
    gateway_port: int,
    where: Literal["own", "task"] = "own",
    import_timeout_sec: float = _IMPORT_SEC,
) -> AsyncGenerator[HarnessProcess]:
    """Make a harness ready, for as long as the context lasts.

    Args:
        backend: Where.
        files: agent.py and .agent/ by path.
        name: Of the sandbox.
        gateway_port: Where the gateway listens on 127.0.0.1; nothing else can be reached from inside.
        where: In a sandbox of its own, with agent.py imported at once, or in each task's.
        import_timeout_sec: For importing agent.py.

    Raises:
        HarnessError: agent.py cannot be imported, or its requirements cannot be installed.
        SandboxError: The sandbox could not be started.
    """
    package = Package(files=files, gateway_port=gateway_port, import_timeout_sec=import_timeout_sec)
    if where == "task":
        # What can be installed nowhere ends the run, and not each trial.
        await backend.prepare_harness(package.requirements)
        yield TaskHarness(backend, package)
        return
    async with background_tasks() as group:
        shared = SharedHarness(backend, package, name)
        try:
            await shared.open(group)
        except RefusedError as error:
            lone = LoneHarness(backend, package, name, why=error.problem)
            await lone.check()
            yield lone
        else:
            yield shared
