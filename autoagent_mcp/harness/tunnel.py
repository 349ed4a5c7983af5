"""The server's end of the stdin and stdout of a host or a relay: frames in and out, streams to the gateway.

Everything that comes out is hostile. What is wrong on one trial's account ends that trial; what cannot be put on any
trial's account ends the host, and with it all of its trials, but never the server.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager

import anyio
from anyio.abc import ByteStream, TaskGroup
from pydantic import TypeAdapter, ValidationError

from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.harness.inside import frames
from autoagent_mcp.sandbox.base import Process

_OUTGOING_FRAMES = 64
_STREAMS_LIMIT = 2 * frames.STREAMS_PER_TRIAL
"""The host may close one end of a stream a little before this end is through with it."""
_LOG_LIMIT_BYTES = 2 * frames.LOG_HALF_BYTES + 1000
_DETAIL_LIMIT = 2000
_STDERR_LIMIT_BYTES = 4000
_WORDS = TypeAdapter(dict[str, str])


class Broken(Exception):  # noqa: N818 - how a host ended
    """The host sent what no host sends, or is gone."""


class _Stream:
    """One TCP connection between a child and the gateway."""

    def __init__(self) -> None:
        self.waiting_bytes = 0
        """Taken from the host and not yet passed on."""
        self.is_child_done = False
        self.credit = frames.WINDOW_BYTES
        self.more_credit = anyio.Event()
        self.to_gateway, self.from_child = anyio.create_memory_object_stream[bytes](math.inf)
        self.scope = anyio.CancelScope()


class Line:
    """A trial's share of the tunnel."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.streams: dict[int, _Stream] = {}
        self.opened = 0
        self.log = bytearray()
        self.logged_bytes = 0
        self.changed = anyio.Event()
        self.started = anyio.Event()
        """Set when it got its order, or ended before."""
        self.end: tuple[str, str] | None = None
        """How it ended, and what the host said of it."""
        self.gone = anyio.Event()
        """Set once nothing of it runs any more."""

    def close(self, how: str, detail: str) -> None:
        """End it; the first to say how is right."""
        self.end = self.end or (how, detail)
        for stream in self.streams.values():
            stream.scope.cancel()
        self.started.set()
        self.changed.set()

    def add_log(self, data: bytes) -> None:
        """Take what the harness printed."""
        self.logged_bytes += len(data)
        if self.logged_bytes <= _LOG_LIMIT_BYTES:
            self.log += data
            self.changed.set()


class Tunnel:
    """Speaks with one host or relay; made by `connect`."""

    def __init__(self, process: Process, gateway_port: int, group: TaskGroup, name: str) -> None:
        self.reason = ""
        """Why there is no host any more."""
        self.gone = anyio.Event()
        """Set when there is no host any more."""
        self.imported: dict[str, str] | None = None
        """What the host said of the import."""
        self.heard = anyio.Event()
        """Set when it has said so, or is gone."""
        self._lines: dict[int, Line] = {}
        self._numbers = 0
        self._process, self._gateway_port, self._group, self._name = process, gateway_port, group, name
        self._outgoing, self._to_write = anyio.create_memory_object_stream[bytes](_OUTGOING_FRAMES)
        self._stderr = b""

    async def start(self, order: Mapping[str, object]) -> Line:
        """Have a trial started."""
        self._numbers += 1
        line = self._lines[self._numbers] = Line(self._numbers)
        await self.send(frames.START, line.number, 0, json.dumps(order).encode())
        return line

    async def kill(self, line: Line) -> None:
        """Have a trial killed; `line.gone` tells when it is."""
        await self.send(frames.KILL, line.number, 0)

    async def send(self, kind: int, line: int, stream: int, payload: bytes = b"") -> None:
        """Queue a frame for the host; waits while the host is far behind."""
        try:
            await self._outgoing.send(frames.HEADER.pack(kind, line, stream, len(payload)) + payload)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # the host is gone, and its trials are told so

    async def read(self) -> None:
        """Take frames until the host is gone."""
        incoming = bytearray()
        try:
            while True:
                incoming += await self._process.stdout.receive()
                for frame in _cut_frames(incoming):
                    self._take(*frame)
        except anyio.EndOfStream:
            self.fail(f"{self._name} ended. {self._stderr.decode(errors='replace').strip()}".strip())
        except (anyio.BrokenResourceError, Broken) as error:
            self.fail(f"{self._name} broke off: {error}")

    async def write(self) -> None:
        """Pass queued frames to the host."""
        try:
            async for frame in self._to_write:
                await self._process.stdin.send(frame)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._to_write.close()

    async def read_stderr(self) -> None:
        """Keep the end of what the host says about itself."""
        try:
            async for data in self._process.stderr:
                self._stderr = (self._stderr + data)[-_STDERR_LIMIT_BYTES:]
        except anyio.BrokenResourceError:
            return

    def fail(self, reason: str) -> None:
        """Note that there is no host to speak with any more."""
        self.reason = self.reason or reason
        self._to_write.close()  # who waits to send is let go
        self.gone.set()
        self.heard.set()

    def end_all(self, *, is_sandbox_lost: bool) -> None:
        """End the trials of a host that is gone.

        A harness must not buy a second try: only a sandbox that went away before a trial's first connection is not
        the harness's failure.
        """
        for line in self._lines.values():
            line.close("lost" if is_sandbox_lost and not line.opened else "crashed", self.reason)
            line.gone.set()
        self._lines.clear()

    def close(self) -> None:
        """Send nothing more."""
        self._outgoing.close()
        self._to_write.close()

    def _take(self, kind: int, number: int, stream_number: int, payload: bytes) -> None:
        if kind == frames.READY:
            self.imported = _parse(payload)
            self.heard.set()
            return
        line = self._lines.get(number)
        if line is None:
            raise Broken(f"a frame of kind {kind} for trial {number}, which is not live")
        try:
            self._take_for(line, kind, stream_number, payload)
        except Broken as error:
            # Ended here at once; the host is told to kill it by whoever waits for the trial.
            line.close("crashed", f"{self._name} sent {error}")

    def _take_for(self, line: Line, kind: int, number: int, payload: bytes) -> None:
        if kind == frames.ENDED:
            del self._lines[line.number]
            end = _parse(payload)
            how = end.get("how", "")
            line.close(how if how in {"returned", "raised"} else "crashed", end.get("detail", "")[:_DETAIL_LIMIT])
            line.gone.set()
        elif kind == frames.STARTED:
            line.started.set()
        elif kind == frames.LOG:
            line.add_log(payload)
        elif kind == frames.OPEN:
            self._open(line, number)
        elif number < 1 or number > line.opened:
            raise Broken(f"a frame of kind {kind} for stream {number}, which was never opened")
        elif stream := line.streams.get(number):
            _take_for_stream(stream, kind, payload)

    def _open(self, line: Line, number: int) -> None:
        if number != line.opened + 1 or len(line.streams) >= _STREAMS_LIMIT:
            raise Broken(f"stream {number} after stream {line.opened} with {len(line.streams)} open")
        line.opened = number
        if line.end is None:
            line.streams[number] = _Stream()
            self._group.start_soon(self._carry, line, number, line.streams[number])

    async def _carry(self, line: Line, number: int, stream: _Stream) -> None:
        """Carry one connection until both sides have ended it, or one broke it off."""
        try:
            with stream.scope:
                gateway = await anyio.connect_tcp("127.0.0.1", self._gateway_port)
                async with gateway, anyio.create_task_group() as both:
                    both.start_soon(self._carry_out, line, number, stream, gateway)
                    both.start_soon(self._carry_in, line, number, stream, gateway)
            if stream.scope.cancel_called and line.end is None:
                await self.send(frames.RESET, line.number, number)
        except OSError:
            await self.send(frames.RESET, line.number, number)
        finally:
            stream.to_gateway.close()
            stream.from_child.close()
            line.streams.pop(number, None)

    async def _carry_out(self, line: Line, number: int, stream: _Stream, gateway: ByteStream) -> None:
        try:
            async for data in stream.from_child:
                await gateway.send(data)
                stream.waiting_bytes -= len(data)
                await self.send(frames.CREDIT, line.number, number, len(data).to_bytes(4, "big"))
            await gateway.send_eof()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            stream.scope.cancel()

    async def _carry_in(self, line: Line, number: int, stream: _Stream, gateway: ByteStream) -> None:
        try:
            while True:
                while stream.credit == 0:
                    await stream.more_credit.wait()
                data = await gateway.receive(min(frames.CHUNK_BYTES, stream.credit))
                stream.credit -= len(data)
                await self.send(frames.DATA, line.number, number, data)
        except anyio.EndOfStream:
            await self.send(frames.END, line.number, number)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            stream.scope.cancel()


@asynccontextmanager
async def connect(process: Process, gateway_port: int, name: str = "The harness host") -> AsyncGenerator[Tunnel]:
    """Speak with the host or relay in `process` until the context is left.

    Args:
        process: Whose stdio is the line.
        gateway_port: Where its streams lead, on 127.0.0.1.
        name: What it is, for messages.
    """
    async with background_tasks() as group:
        tunnel = Tunnel(process, gateway_port, group, name)
        group.start_soon(tunnel.read)
        group.start_soon(tunnel.write)
        group.start_soon(tunnel.read_stderr)
        try:
            yield tunnel
        finally:
            tunnel.fail("The harness sandbox was stopped.")
            tunnel.end_all(is_sandbox_lost=True)
            tunnel.close()


def _take_for_stream(stream: _Stream, kind: int, payload: bytes) -> None:
    if kind == frames.DATA:
        stream.waiting_bytes += len(payload)
        if not payload or stream.waiting_bytes > frames.WINDOW_BYTES or stream.is_child_done:
            raise Broken(f"{stream.waiting_bytes} bytes in a window of {frames.WINDOW_BYTES}")
        stream.to_gateway.send_nowait(payload)
    elif kind == frames.END:
        stream.is_child_done = True
        stream.to_gateway.close()
    elif kind == frames.CREDIT:
        stream.credit += int.from_bytes(payload, "big")
        if stream.credit > frames.WINDOW_BYTES:
            raise Broken(f"a credit of {stream.credit} bytes in a window of {frames.WINDOW_BYTES}")
        stream.more_credit.set()
        stream.more_credit = anyio.Event()
    elif kind == frames.RESET:
        stream.scope.cancel()
    else:
        raise Broken(f"a frame of unknown kind {kind}")


def _cut_frames(incoming: bytearray) -> Iterator[tuple[int, int, int, bytes]]:
    """Take the whole frames off the front of `incoming`.

    Raises:
        Broken: A frame is larger than any may be.
    """
    size_of_header = frames.HEADER.size
    while len(incoming) >= size_of_header:
        kind, line, stream, size = frames.HEADER.unpack_from(incoming)
        if size > frames.PAYLOAD_LIMIT_BYTES:
            raise Broken(f"a frame of {size} bytes, where {frames.PAYLOAD_LIMIT_BYTES} are allowed")
        if len(incoming) < size_of_header + size:
            return
        payload = bytes(incoming[size_of_header : size_of_header + size])
        del incoming[: size_of_header + size]
        yield kind, line, stream, payload


def _parse(payload: bytes) -> dict[str, str]:
    try:
        return _WORDS.validate_json(payload)
    except ValidationError as error:
        raise Broken("words that cannot be read") from error
