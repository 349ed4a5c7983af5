"""What a sandbox is, whichever backend makes it.

Nothing above this room may assume that a sandbox is local: commands, files and processes all go through the methods
below. Whatever a sandbox says is hostile input.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from anyio.abc import ByteReceiveStream, ByteSendStream

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.task import ImageSource, Task

OUTPUT_LIMIT_BYTES = 1_000_000
"""What is kept of a command's stdout and of its stderr: the first and the last half; a note says how much is gone."""

ARCHIVE_LIMIT_BYTES = 256 * 1024 * 1024
"""The largest archive that is carried into or out of a sandbox."""

HARNESS_LIBRARIES = PurePosixPath("/opt/harness")
"""Where a harness finds its libraries, in a sandbox of its own as in a task's."""


PATIENCE_SEC = 10
"""For an engine, or for a first command, to answer."""

Network = Literal["none", "public"]
"""`public`: the internet, but neither the host nor other sandboxes. A backend without networks runs all offline."""


class ExecResult(Frozen):
    """What a command gave. A command that failed, or ran out of time, is a result and not an error."""

    stdout: str
    stderr: str
    return_code: int
    """124 where the time was up; 128 + signal where a signal ended it."""
    timed_out: bool = False


class Limits(Frozen):
    """What a sandbox as a whole may use."""

    cpus: float | None = None
    memory_mb: int = 2048
    """All of its processes and files in memory together; past it the sandbox's commands are killed."""
    processes: int = 512
    storage_mb: int = 1024


class Image(Frozen):
    """What a sandbox's root is made from, ready to start; made by `Backend.prepare`."""

    id: str
    """Content hash or the engine's own name for it: the same context gives the same id."""
    base: str
    """The base image's name, for people; on bubblewrap a label only."""
    workdir: PurePosixPath = PurePosixPath("/")
    env: Mapping[str, str] = {}
    layers: tuple[Path, ...] = ()
    """Tar archives that are laid over the base, in order (bubblewrap)."""
    has_startup: bool = False
    """Whether it starts something by itself (an ENTRYPOINT): that lives on when all commands are killed (Docker)."""


class Mount(Frozen):
    """A host folder shown read-only inside."""

    source: Path
    target: PurePosixPath


class SandboxSpec(Frozen):
    """What to start."""

    name: str
    """For labels and process titles: `<run>-<task>__<n>`."""
    image: Image
    limits: Limits = Limits()
    env: Mapping[str, str] = {}
    """Added to the image's."""
    workdir: PurePosixPath | None = None
    """Instead of the image's."""
    mounts: tuple[Mount, ...] = ()
    user: str | int | None = None
    """Whose commands run where a command names nobody; None means the image's own user."""
    network: Network = "none"
    """What it has when it starts; `Sandbox.use_network` changes it."""
    can_use_network: bool = False
    """Whether `use_network("public")` may be asked for later."""
    role: Literal["task", "harness"] = "task"
    """A harness sandbox has a read-only root, a small /tmp, and may make namespaces of its own inside."""


class Process(Protocol):
    """A process inside a sandbox, its stdio in our hands."""

    stdin: ByteSendStream
    stdout: ByteReceiveStream
    stderr: ByteReceiveStream

    async def wait(self) -> int:
        """Wait for its end and return its exit status (128 + signal where a signal ended it)."""
        ...

    async def kill(self) -> None:
        """Kill it at once, with everything that it started."""
        ...


class Sandbox(Protocol):
    """An isolated place where commands run. It vanishes, with all that runs in it, when its context is left."""

    async def exec(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_sec: float | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """Run `bash -c command` and wait for it.

        What it leaves running stays, and the next command finds it. Past `timeout_sec` the command and everything it
        started is dead within 2 s. Output beyond `OUTPUT_LIMIT_BYTES` is cut in the middle with a note.

        Raises:
            SandboxError: The sandbox is gone.
            SandboxRefused: `user` is none that this backend can be.
        """
        ...

    async def spawn(
        self, argv: tuple[str, ...], *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> Process:
        """Start a process with piped stdio.

        Raises:
            SandboxError: The sandbox is gone.
        """
        ...

    async def put(self, archive: bytes, target: str) -> None:
        """Unpack a tar archive below the folder `target`, which is made where it is missing; owned by root.

        Raises:
            SandboxError: The sandbox is gone.
            SandboxRefused: It does not fit, or something inside is in the way; the sandbox lives on.
        """
        ...

    async def get(self, source: str, *, limit_bytes: int = ARCHIVE_LIMIT_BYTES) -> bytes | None:
        """Return a file, or a folder's content, as a tar archive; None where there is nothing at `source`.

        The archive is hostile: unpack it with `archive.unpack` only.

        Raises:
            SandboxError: The sandbox is gone.
            SandboxRefused: The archive is over `limit_bytes`; the sandbox lives on.
        """
        ...

    async def note_startup(self) -> None:
        """Note what the image's own start-up has made, before anybody works in it: `kill_all` leaves it alone.

        Raises:
            SandboxError: The sandbox is gone.
        """
        ...

    async def kill_all(self) -> None:
        """Kill every process that commands started, however they hid; files stay.

        What the image's own start-up made lives on, where `Image.has_startup` says that there is such a thing: the
        same processes, or fresh ones where nothing less than a new start ended the others.

        Raises:
            SandboxError: The sandbox is gone, or something in it cannot be killed.
        """
        ...

    async def use_network(self, network: Network) -> None:
        """Give it a network from now on, or take it away; without effect where the backend has none to give.

        Raises:
            SandboxError: The sandbox is gone.
        """
        ...

    async def changes(self) -> tuple[str, ...]:
        """Return the paths that differ from the image's, sorted; empty where the backend cannot tell.

        Raises:
            SandboxError: The sandbox is gone.
        """
        ...


class Backend(Protocol):
    """Makes sandboxes."""

    name: str

    def refusals(self, task: Task) -> tuple[str, ...]:
        """Say what this backend cannot honour of a task, each with its place; empty where it can run."""
        ...

    def notices(self, task: Task) -> tuple[str, ...]:
        """Say what is different here from what the task asks, where that is no reason not to run it."""
        ...

    async def check(self, *, patience_sec: int = PATIENCE_SEC) -> None:
        """Start and stop one sandbox.

        Args:
            patience_sec: For what makes sandboxes to answer.

        Raises:
            SetupError: This machine cannot; says how to cure it.
        """
        ...

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """Keep what sandboxes share (a network, a line to the engine) while the context lasts; a run holds it.

        Raises:
            SandboxError: It could not be made.
        """
        ...

    async def ready_again(self) -> None:
        """Wait until sandboxes can be made again after some were lost, at most some minutes, also in vain."""
        ...

    async def prepare(self, task: Task, source: ImageSource | None = None) -> Image:
        """Make an image ready; the second time costs nothing.

        Args:
            task: Whose image.
            source: What to make it from; None means the task's environment.

        Raises:
            SandboxRefused: See `refusals`.
            SandboxError: It could not be made.
        """
        ...

    async def prepare_harness(
        self, requirements: str, inside: Image | None = None
    ) -> tuple[Image, tuple[Mount, ...], str]:
        """Make ready what a harness needs: its image, its mounts and the path of its Python inside.

        Args:
            requirements: The text of `.agent/requirements.txt`: names and versions only.
            inside: A task's image, where the harness is to run in the task's sandbox.

        Raises:
            HarnessError: The requirements cannot be installed.
        """
        ...

    def start(self, spec: SandboxSpec) -> AbstractAsyncContextManager[Sandbox]:
        """Start a sandbox; leaving the context removes it, also on cancellation.

        Raises:
            SandboxError: It could not be started.
        """
        ...

    async def remove_leftovers(self, workspace_id: str) -> int:
        """Remove what an earlier, killed server of this workspace left behind, and return how many there were.

        Nothing that a server still works with is touched.
        """
        ...
