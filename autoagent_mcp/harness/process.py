"""Drives a harness from the server: one sandbox, agent.py imported in it once, a child forked for each trial."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files as package_files
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.errors import AutoagentError, HarnessError, SandboxError
from autoagent_mcp.harness.tunnel import Line, Tunnel, connect
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Backend, Limits, Sandbox, SandboxSpec

__all__ = ["HarnessEnd", "HarnessProcess", "start"]

_INSIDE = "autoagent_mcp.harness.inside"
_FOLDER = "/harness"
_BOOT = f"import sys; sys.path.insert(0, '{_FOLDER}/lib'); from {_INSIDE}.host import main; main()"
_REQUIREMENTS = ".agent/requirements.txt"
_IMPORT_SEC = 60.0
_START_SEC = 120.0
"""For a child to be forked, which others may wait for too."""
_RELEASE_SEC = 10.0
"""A child is dead some milliseconds after it was told to be; a host that needs this long is not trusted any more."""
_PROBE_SEC = 5.0
_disk = anyio.CapacityLimiter(8)


class HarnessEnd(Frozen):
    """How the harness ended in a trial."""

    how: Literal["returned", "raised", "timeout", "crashed", "lost"]
    """lost: the harness sandbox itself went away before the trial had done anything."""
    detail: str = ""
    """What run_task returned, or why it did not; of what the harness said, the first 2000 characters."""


class HarnessProcess:
    """A harness, ready to try tasks; made by `start`.

    Should its sandbox break, the trials that are live in it end, and the next one gets a new sandbox.
    """

    def __init__(
        self,
        backend: Backend,
        spec: SandboxSpec,
        *,
        python: str,
        content: bytes,
        gateway_port: int,
        import_timeout_sec: float,
    ) -> None:
        self._backend, self._spec, self._python = backend, spec, python
        self._content, self._gateway_port = content, gateway_port
        self._import_timeout_sec = import_timeout_sec
        self._starting = anyio.Lock()
        self._tunnel: Tunnel | None = None
        self.notices: tuple[str, ...] = ()

    async def try_task(self, *, trial: str, token: str, instruction: str, timeout_sec: float, log: Path) -> HarnessEnd:
        """Let the harness try a task; when this returns or raises, nothing of the trial runs any more.

        Args:
            trial: Its id, for messages.
            token: What its requests to the gateway carry.
            instruction: What run_task gets.
            timeout_sec: After this it is killed.
            log: Gets what it prints, at most 1 MB, as it comes.

        Raises:
            OSError: `log` cannot be written.
        """
        try:
            tunnel = await self._ready()
        except SandboxError as error:
            return HarnessEnd(how="lost", detail=str(error))
        except HarnessError as error:
            return HarnessEnd(how="crashed", detail=str(error))
        line = await tunnel.start({"token": token, "instruction": instruction})
        try:
            end = await _watch(line, timeout_sec, log)
        finally:
            with anyio.CancelScope(shield=True):
                await _release(tunnel, line, trial)
                await _write_log(line, log)
        return HarnessEnd.model_validate({"how": end[0], "detail": end[1]})

    async def open(self, group: TaskGroup) -> None:
        """Start the first sandbox; `group` is where it lives.

        Raises:
            HarnessError: agent.py cannot be imported.
            SandboxError: The sandbox could not be started.
        """
        self._group = group
        await self._ready()

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
            await sandbox.put(self._content, _FOLDER)
            process = await sandbox.spawn((self._python, "-I", "-S", "-B", "-c", _BOOT))
            try:
                async with connect(process, self._gateway_port) as tunnel:
                    failure = await self._import(tunnel)
                    if failure is None:
                        task_status.started(tunnel)
                        await tunnel.gone.wait()
                        tunnel.end_all(is_sandbox_lost=await _is_lost(sandbox))
            finally:
                await process.kill()
        if failure is not None:
            raise failure

    async def _import(self, tunnel: Tunnel) -> AutoagentError | None:
        with anyio.move_on_after(self._import_timeout_sec):
            await tunnel.heard.wait()
        words = tunnel.imported
        if words is None:
            if tunnel.reason:
                return SandboxError(f"The harness sandbox did not come up: {tunnel.reason}", "Run again.")
            return HarnessError(
                f"agent.py was still being imported after {self._import_timeout_sec:g} s.",
                "Do the work in run_task; importing should only define things.",
            )
        if "refused" in words:
            return SandboxError(
                f"The kernel does not let the harness sandbox make namespaces of its own ({words['refused'][:300]}).",
                "Allow unprivileged user namespaces on this machine (user.max_user_namespaces), or use Docker.",
            )
        if "error" in words:
            return _import_error(words["error"])
        self.notices = (words["notice"],) if words.get("notice") else ()
        return None


@asynccontextmanager
async def start(
    backend: Backend,
    files: Mapping[str, bytes],
    *,
    name: str,
    gateway_port: int,
    import_timeout_sec: float = _IMPORT_SEC,
) -> AsyncGenerator[HarnessProcess]:
    """Start a harness sandbox with agent.py imported, for as long as the context lasts.

    Args:
        backend: Where.
        files: agent.py and .agent/ by path.
        name: Of the sandbox.
        gateway_port: Where the gateway listens on 127.0.0.1; nothing else can be reached from inside.
        import_timeout_sec: For importing agent.py.

    Raises:
        HarnessError: agent.py cannot be imported, or its requirements cannot be installed.
        SandboxError: The sandbox could not be started.
    """
    image, mounts, python = await backend.prepare_harness(files.get(_REQUIREMENTS, b"").decode(errors="replace"))
    spec = SandboxSpec(name=name, image=image, mounts=mounts, limits=_limits(), role="harness")
    async with background_tasks() as group:
        harness = HarnessProcess(
            backend,
            spec,
            python=python,
            content=_pack(files),
            gateway_port=gateway_port,
            import_timeout_sec=import_timeout_sec,
        )
        await harness.open(group)
        yield harness


async def _watch(line: Line, timeout_sec: float, log: Path) -> tuple[str, str]:
    """Wait for its end, and say how it came; the time runs from when run_task is called."""
    with anyio.move_on_after(_START_SEC):
        await line.started.wait()
    if not line.started.is_set():
        return "crashed", f"It could not be started within {_START_SEC:g} s."
    with anyio.move_on_after(timeout_sec):
        await _follow(line, log)
    return line.end or ("timeout", f"run_task did not return within {timeout_sec:g} s.")


async def _follow(line: Line, log: Path) -> None:
    """Write what the harness prints, until it has ended."""
    while line.end is None:
        await _write_log(line, log)
        await line.changed.wait()
        line.changed = anyio.Event()


async def _write_log(line: Line, log: Path) -> None:
    data, line.log = bytes(line.log), bytearray()
    if data:
        await anyio.to_thread.run_sync(_append, log, data, limiter=_disk)


def _append(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


async def _release(tunnel: Tunnel, line: Line, trial: str) -> None:
    """See to it that nothing of a trial runs any more."""
    with anyio.move_on_after(_RELEASE_SEC):
        if not line.gone.is_set():
            await tunnel.kill(line)
        await line.gone.wait()
        return
    tunnel.fail(f"The harness host did not end trial {trial} within {_RELEASE_SEC:g} s.")


async def _is_lost(sandbox: Sandbox) -> bool:
    try:
        with anyio.fail_after(_PROBE_SEC):
            await sandbox.exec("true")
    except (SandboxError, TimeoutError):
        return True
    return False


def _import_error(traceback: str) -> HarnessError:
    last = traceback.strip().splitlines()[-1].strip()
    cure = "Correct it and call again."
    if "_API_KEY" in traceback:
        cure = "Make clients in run_task or create_agent: only there the variables of the model are set."
    return HarnessError(f"agent.py cannot be imported: {last}", f"{cure} It ended so:\n{traceback}")


def _pack(files: Mapping[str, bytes]) -> bytes:
    folder = package_files(_INSIDE)
    place = _INSIDE.replace(".", "/")
    own = {f"lib/{place}/{file.name}": file.read_bytes() for file in folder.iterdir() if file.name.endswith(".py")}
    return archive.pack_files({**own, **{f"workspace/{path}": content for path, content in files.items()}})


def _limits() -> Limits:
    """Return what a harness sandbox may use: it holds every live trial of a run, so it is bounded by the machine."""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024)
    return Limits(memory_mb=memory_mb * 3 // 4, processes=8192, storage_mb=256)
