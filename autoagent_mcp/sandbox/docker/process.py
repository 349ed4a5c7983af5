"""A process in a container with piped stdio."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.abc import ByteReceiveStream, ByteSendStream, TaskStatus

from autoagent_mcp.errors import EngineError
from autoagent_mcp.sandbox.docker.attached import STDOUT, Attached
from autoagent_mcp.sandbox.docker.command import Command
from autoagent_mcp.sandbox.docker.engine import translated

_KILLED = 137
_PARTS_LIMIT = 64
"""What is kept of stderr while nobody reads it; more is dropped, as it comes down the same line as stdout."""
_threads = anyio.CapacityLimiter(math.inf)


class _Output(ByteReceiveStream):
    """One of its outputs, between the thread that reads the line and whoever receives."""

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._is_ended = False
        self._changed = anyio.Event()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what is there; `EndOfStream` when the process has ended."""
        while not self._parts:
            if self._is_ended:
                raise anyio.EndOfStream
            await self._changed.wait()
        data = self._parts.popleft()
        if len(data) > max_bytes:
            self._parts.appendleft(data[max_bytes:])
        self._change()
        return data[:max_bytes]

    async def add(self, data: bytes) -> None:
        """Add a part; wait while one is there that nobody received."""
        while self._parts and not self._is_ended:
            await self._changed.wait()
        if not self._is_ended:
            self.offer(data)

    def offer(self, data: bytes) -> None:
        """Add a part, or drop it where too much is there."""
        if len(self._parts) < _PARTS_LIMIT:
            self._parts.append(data)
            self._change()

    def end(self) -> None:
        """Nothing more will come."""
        self._is_ended = True
        self._change()

    async def aclose(self) -> None:
        """Receive no more."""
        self.end()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class _Writer(ByteSendStream):
    """Its input."""

    def __init__(self, line: Attached, ended: anyio.Event) -> None:
        self._line = line
        self._ended = ended
        self._is_closed = False

    async def send(self, item: bytes) -> None:
        """Write all of it; `BrokenResourceError` where nobody reads any more."""
        if self._is_closed:
            raise anyio.ClosedResourceError
        if self._ended.is_set():
            raise anyio.BrokenResourceError
        try:
            await anyio.to_thread.run_sync(self._line.send, item, limiter=_threads, abandon_on_cancel=True)
        except OSError:
            raise anyio.BrokenResourceError from None

    async def aclose(self) -> None:
        """Close it."""
        if not self._is_closed:
            self._is_closed = True
            self._line.end_input()


class ContainerProcess:
    """Implements `base.Process`.

    Args:
        command: Made ready, and taking input.
        end: Kills it with all that it started.
        lines: Where it stands as long as it is carried, with how its line is cut.
    """

    def __init__(
        self, command: Command, end: Callable[[], Awaitable[None]], lines: dict[Command, Callable[[], None]]
    ) -> None:
        self._command = command
        self._end = end
        self._lines = lines
        self._status = _KILLED
        self.stdin: ByteSendStream
        self._out, self._err = _Output(), _Output()
        self.stdout: ByteReceiveStream = self._out
        self.stderr: ByteReceiveStream = self._err

    async def carry(self, *, task_status: TaskStatus[None]) -> None:
        """Carry what it says, until it has ended or its line was cut; runs beside everything else.

        Raises:
            EngineError: Before it has started: the engine refused.
        """
        self._lines[self._command] = self.cut
        try:
            line = await anyio.to_thread.run_sync(translated, self._command.attach, limiter=_threads)
            self.stdin = _Writer(line, self._command.ended)
            task_status.started()
            try:
                await anyio.to_thread.run_sync(self._pump, line, limiter=_threads)
            finally:
                line.close()
        finally:
            del self._lines[self._command]
            self._command.ended.set()
            self._out.end()
            self._err.end()

    def _pump(self, line: Attached) -> None:
        for stream, data in line.frames():
            if stream == STDOUT:
                anyio.from_thread.run(self._out.add, data)
            else:
                anyio.from_thread.run_sync(self._err.offer, data)
        try:
            status = translated(self._command.status)
        except EngineError:
            status = None
        self._status = _KILLED if status is None else status

    async def wait(self) -> int:
        """See `base.Process.wait`; 137 also where the whole sandbox went away."""
        await self._command.ended.wait()
        return self._status

    async def kill(self) -> None:
        """See `base.Process.kill`; what it goes on to say is lost, as nobody may be receiving it."""
        self._out.end()
        await self._end()

    def cut(self) -> None:
        """Cut the line to it; whoever carries what nobody reads stops, too."""
        self._out.end()
        self._command.cut()
