"""The tunnel against a host that says whatever it likes."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketAttribute, SocketStream

from autoagent_mcp.harness.inside import frames
from autoagent_mcp.harness.tunnel import Line, Tunnel, connect


class Sending(ByteSendStream):
    """What the server writes."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.more = anyio.Event()

    async def send(self, item: bytes) -> None:
        """Keep it."""
        await anyio.lowlevel.checkpoint()
        self.written += item
        self.more.set()
        self.more = anyio.Event()

    async def aclose(self) -> None:
        """Stay open."""


class Receiving(ByteReceiveStream):
    """What the server reads."""

    def __init__(self) -> None:
        self.into, self._out = anyio.create_memory_object_stream[bytes](math.inf)

    async def receive(self, max_bytes: int = 65536) -> bytes:  # noqa: ARG002 - the interface
        """Return the next piece."""
        return await self._out.receive()

    async def aclose(self) -> None:
        """Close both ends."""
        self.into.close()
        self._out.close()


class Hostile:
    """A process whose output is the test's."""

    def __init__(self) -> None:
        self.heard, self.output, self._errors = Sending(), Receiving(), Receiving()
        self.stdin: ByteSendStream = self.heard
        self.stdout: ByteReceiveStream = self.output
        self.stderr: ByteReceiveStream = self._errors

    def say(self, kind: int, line: int = 0, stream: int = 0, payload: bytes = b"") -> None:
        """Send a frame."""
        self.output.into.send_nowait(frames.HEADER.pack(kind, line, stream, len(payload)) + payload)

    async def hear(self, kind: int) -> bytes:
        """Wait until the server has sent a frame of a kind, and return its payload."""
        with anyio.fail_after(5):
            while True:
                rest = bytes(self.heard.written)
                while len(rest) >= frames.HEADER.size:
                    found, _, _, size = frames.HEADER.unpack_from(rest)
                    if found == kind:
                        return rest[frames.HEADER.size : frames.HEADER.size + size]
                    rest = rest[frames.HEADER.size + size :]
                await self.heard.more.wait()

    async def wait(self) -> int:
        """Never end."""
        return 0

    async def kill(self) -> None:
        """Do nothing."""


@asynccontextmanager
async def tunnel_to(host: Hostile, port: int = 1) -> AsyncGenerator[Tunnel]:
    try:
        async with connect(host, port) as tunnel:
            yield tunnel
    finally:
        await host.stdout.aclose()
        await host.stderr.aclose()


@asynccontextmanager
async def echo() -> AsyncGenerator[int]:
    """Listen, and send back what comes."""

    async def serve(client: SocketStream) -> None:
        async with client:
            async for data in client:
                await client.send(data)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
        group.cancel_scope.cancel()


async def ended(line: Line) -> tuple[str, str]:
    with anyio.fail_after(5):
        while line.end is None:
            await line.changed.wait()
        return line.end


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" * 10, "bytes"),
        (frames.HEADER.pack(frames.DATA, 1, 1, 1 << 31), "2147483648 bytes"),
        (frames.HEADER.pack(frames.LOG, 9, 0, 0), "trial 9"),
        (frames.HEADER.pack(frames.READY, 0, 0, 1) + b"{", "cannot be read"),
        (frames.HEADER.pack(frames.READY, 0, 0, 4) + b"[[]]", "cannot be read"),
        (frames.HEADER.pack(frames.READY, 0, 0, 9) + b'{"a": {}}', "cannot be read"),
        (bytes(1000), "trial 0"),
    ],
    ids=["text", "too large", "unknown trial", "no JSON", "no object", "no words", "zeros"],
)
async def test_what_cannot_be_put_on_a_trials_account_ends_the_host_and_nothing_else(said: bytes, reason: str) -> None:
    host = Hostile()
    async with tunnel_to(host) as tunnel:
        line = await tunnel.start({})
        host.output.into.send_nowait(said)
        with anyio.fail_after(5):
            await tunnel.gone.wait()
        tunnel.end_all(is_sandbox_lost=False)
        assert reason in tunnel.reason
        assert line.end == ("crashed", tunnel.reason)
        assert line.gone.is_set()


OPEN_ONE = (frames.OPEN, 1, b"")


@pytest.mark.parametrize(
    "said",
    [
        [(frames.OPEN, 2, b"")],
        [OPEN_ONE, OPEN_ONE],
        [(frames.DATA, 1, b"x")],
        [OPEN_ONE, (frames.DATA, 2, b"x")],
        [OPEN_ONE, (frames.DATA, 1, b"")],
        [OPEN_ONE, (frames.END, 1, b""), (frames.DATA, 1, b"x")],
        [OPEN_ONE, *[(frames.DATA, 1, bytes(frames.CHUNK_BYTES))] * 9],
        [OPEN_ONE, (frames.CREDIT, 1, b"\0\0\0\1")],
        [OPEN_ONE, (frames.CREDIT, 1, bytes(10) + b"\xff" * 100)],
        [OPEN_ONE, (99, 1, b"")],
        [OPEN_ONE, (frames.START, 1, b"")],
        [(frames.OPEN, number, b"") for number in range(1, 70)],
        [(frames.ENDED, 0, b"garbage")],
    ],
    ids=[
        "skips a stream",
        "opens twice",
        "no stream",
        "another stream",
        "empty data",
        "data after the end",
        "beyond the window",
        "credit for nothing",
        "endless credit",
        "unknown kind",
        "a kind of the server",
        "too many streams",
        "garbled end",
    ],
)
async def test_what_is_wrong_for_a_trial_ends_that_trial_alone(said: list[tuple[int, int, bytes]]) -> None:
    host = Hostile()
    async with tunnel_to(host) as tunnel:
        wrong, right = await tunnel.start({}), await tunnel.start({})
        # In one piece, so that nothing is passed on in between.
        packed = [frames.HEADER.pack(kind, wrong.number, stream, len(data)) + data for kind, stream, data in said]
        host.output.into.send_nowait(b"".join(packed))
        assert (await ended(wrong))[0] == "crashed"
        host.say(frames.ENDED, right.number, 0, json.dumps({"how": "returned", "detail": "fine"}).encode())
        assert await ended(right) == ("returned", "fine")
        assert not tunnel.gone.is_set()


async def test_a_stream_is_carried_both_ways_and_ends() -> None:
    host = Hostile()
    async with echo() as port, tunnel_to(host, port) as tunnel:
        line = await tunnel.start({"token": "t"})
        assert json.loads(await host.hear(frames.START)) == {"token": "t"}
        host.say(frames.OPEN, line.number, 1)
        host.say(frames.DATA, line.number, 1, b"hello")
        assert await host.hear(frames.DATA) == b"hello"
        assert await host.hear(frames.CREDIT) == (5).to_bytes(4, "big")
        host.say(frames.END, line.number, 1)
        assert await host.hear(frames.END) == b""
        assert line.end is None


async def test_what_comes_back_waits_for_credit() -> None:
    host = Hostile()
    async with echo() as port, tunnel_to(host, port) as tunnel:
        line = await tunnel.start({})
        host.say(frames.OPEN, line.number, 1)
        total = 0
        while total < frames.WINDOW_BYTES:
            host.say(frames.DATA, line.number, 1, bytes(frames.CHUNK_BYTES))
            total += frames.CHUNK_BYTES
        with anyio.fail_after(5):
            while (sent := _sent(host)) < frames.WINDOW_BYTES:
                await host.heard.more.wait()
        assert sent == frames.WINDOW_BYTES
        host.say(frames.DATA, line.number, 1, b"more")
        await _settle(host)
        assert _sent(host) == frames.WINDOW_BYTES
        host.say(frames.CREDIT, line.number, 1, (1).to_bytes(4, "big"))
        with anyio.fail_after(5):
            while _sent(host) == frames.WINDOW_BYTES:
                await host.heard.more.wait()
        assert _sent(host) == frames.WINDOW_BYTES + 1


async def _settle(host: Hostile) -> None:
    """Wait until what was said so far has been passed on to the gateway: its credit comes back."""
    with anyio.fail_after(5):
        while _given(host) < frames.WINDOW_BYTES + 4:
            await host.heard.more.wait()


def _sent(host: Hostile) -> int:
    return sum(len(payload) for kind, payload in _written(host) if kind == frames.DATA)


def _given(host: Hostile) -> int:
    return sum(int.from_bytes(payload, "big") for kind, payload in _written(host) if kind == frames.CREDIT)


def _written(host: Hostile) -> list[tuple[int, bytes]]:
    rest, found = bytes(host.heard.written), list[tuple[int, bytes]]()
    while rest:
        kind, _, _, size = frames.HEADER.unpack_from(rest)
        found.append((kind, rest[frames.HEADER.size : frames.HEADER.size + size]))
        rest = rest[frames.HEADER.size + size :]
    return found


async def test_a_gateway_that_is_gone_resets_the_stream() -> None:
    host = Hostile()
    async with echo() as port:
        pass
    async with tunnel_to(host, port) as tunnel:
        line = await tunnel.start({})
        host.say(frames.OPEN, line.number, 1)
        assert await host.hear(frames.RESET) == b""
        assert line.end is None


async def test_a_log_without_end_is_cut() -> None:
    host = Hostile()
    async with tunnel_to(host) as tunnel:
        line = await tunnel.start({})
        for _ in range(100):
            host.say(frames.LOG, line.number, 0, bytes(64 * 1024))
        host.say(frames.ENDED, line.number, 0, b"{}")
        await ended(line)
        assert len(line.log) <= 2 * frames.LOG_HALF_BYTES + 1000


@pytest.mark.parametrize("how", ["lost", "timeout", "", "returned?"])
async def test_a_host_cannot_choose_an_end_that_does_not_count(how: str) -> None:
    host = Hostile()
    async with tunnel_to(host) as tunnel:
        line = await tunnel.start({})
        host.say(frames.ENDED, line.number, 0, json.dumps({"how": how, "detail": "x" * 10_000}).encode())
        assert await ended(line) == ("crashed", "x" * 2000)


async def test_only_a_sandbox_lost_before_the_first_connection_is_not_the_harnesss_failure() -> None:
    host = Hostile()
    async with echo() as port, tunnel_to(host, port) as tunnel:
        idle, busy = await tunnel.start({}), await tunnel.start({})
        host.say(frames.OPEN, busy.number, 1)
        host.say(frames.DATA, busy.number, 1, b"x")
        await host.hear(frames.DATA)
        host.output.into.close()
        with anyio.fail_after(5):
            await tunnel.gone.wait()
        tunnel.end_all(is_sandbox_lost=True)
        assert [line.end and line.end[0] for line in (idle, busy)] == ["lost", "crashed"]
