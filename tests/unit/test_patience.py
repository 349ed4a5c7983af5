"""Connections that keep a server waiting, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest
from anyio.abc import SocketStream
from starlette.types import Receive, Scope, Send

from autoagent_mcp._web import listen, serving
from autoagent_mcp.streamable_http.patience import ImpatientProtocol

HEAD = b"POST / HTTP/1.1\r\nHost: here\r\n"


class QuiteImpatient(ImpatientProtocol):
    """The same in a hurry."""

    look_every_sec = 0.1


class Slow:
    """An application that reads its request whole, and goes on answering until told."""

    def __init__(self) -> None:
        self.ends = anyio.Event()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request (ASGI)."""
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.request":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            await self.ends.wait()
            await send({"type": "http.response.body", "body": b"ended"})


@pytest.fixture
def anyio_backend() -> str:
    """Serve on asyncio: uvicorn knows no other."""
    return "asyncio"


@pytest.fixture
def app() -> Slow:
    return Slow()


@pytest.fixture
async def connection(app: Slow) -> AsyncGenerator[SocketStream]:
    listener = listen("127.0.0.1", 0)
    async with (
        serving(app, listener, QuiteImpatient),
        await anyio.connect_tcp("127.0.0.1", listener.getsockname()[1]) as stream,
    ):
        yield stream
        app.ends.set()


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\nhalf"])
async def test_a_request_that_does_not_come_in_whole_is_not_waited_for(connection: SocketStream, sent: bytes) -> None:
    if sent:
        await connection.send(sent)
    with anyio.fail_after(20), pytest.raises(anyio.EndOfStream):
        await connection.receive()


async def test_a_request_that_drips_in_is_not_waited_for_either(connection: SocketStream) -> None:
    await connection.send(HEAD)
    with anyio.fail_after(20), pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):  # noqa: PT012 - whichever comes first
        while True:
            await connection.send(b"X: y\r\n")
            with anyio.move_on_after(0.02):
                await connection.receive()


async def test_an_answer_under_way_is_not_cut_and_an_idle_connection_is_closed_after_it(
    app: Slow, connection: SocketStream
) -> None:
    await connection.send(HEAD + b"\r\n")
    assert b"begun" in await connection.receive()
    with anyio.move_on_after(5 * QuiteImpatient.look_every_sec) as silence:
        await connection.receive()
    assert silence.cancelled_caught
    app.ends.set()
    assert b"ended" in await connection.receive()
    with anyio.fail_after(20), pytest.raises(anyio.EndOfStream):
        await connection.receive()
