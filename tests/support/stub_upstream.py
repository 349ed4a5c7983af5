"""A model provider for tests: speaks the three APIs' wire formats, fails on demand, remembers what it received."""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from support import wire
from support.wire import Answer, Event, Json

KEY = "sk-stub-0123456789abcdef"


@dataclass
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: Json
    at: float


@dataclass(frozen=True)
class Fails:
    """Answer with a status."""

    status: int
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: str = '{"error": {"message": "try later", "type": "server_error", "code": null, "param": null}}'


@dataclass(frozen=True)
class Says:
    """Answer 200 with these bytes, whatever was asked."""

    data: bytes
    content_type: str = "application/json"


@dataclass(frozen=True)
class Drops:
    """Close the connection after so many events of the stream."""

    after: int


@dataclass(frozen=True)
class Holds:
    """Send so many events, then wait until the stub's `released` is set."""

    after: int


Fault = Fails | Says | Drops | Holds


class StubUpstream:
    """The provider."""

    def __init__(self) -> None:
        self.url = ""
        self.released = anyio.Event()
        self.reset()

    def reset(self) -> None:
        """Forget what was received and told, and let go of what is held."""
        self.released.set()
        self.received: list[Received] = []
        self.faults: deque[Fault] = deque()
        """Used up one by one, before answers are given."""
        self.fault: Fault | None = None
        """What every request meets once `faults` is empty."""
        self.answer: Callable[[Json], Answer] = lambda _body: Answer(text="Hello.")
        self.arrived = anyio.Event()
        """Set with the first request."""
        self.released = anyio.Event()
        """Set it to let go of what is held."""
        self.cut_off = anyio.Event()
        """Set when a client goes away in the middle of a held stream."""

    def hold_after(self, calls: int) -> None:
        """Answer so many calls from now on, and hold the others."""
        left = iter(range(calls - 1))

        def answer(_body: Json) -> Answer:
            if next(left, None) is None:
                self.fault = Holds(after=0)
            return Answer(text="Hello.")

        self.answer = answer

    @property
    def bodies(self) -> list[Json]:
        """What was received."""
        return [item.body for item in self.received]

    def routes(self) -> list[Route]:
        """Return the stub's routes."""
        return [
            Route("/v1/chat/completions", _Endpoint(self, wire.chat, _chat_events), methods=["POST"]),
            Route("/v1/responses", _Endpoint(self, wire.response, _response_events), methods=["POST"]),
            Route("/v1/messages", _Endpoint(self, wire.message, _message_events), methods=["POST"]),
        ]


def _chat_events(answer: Answer, body: Json) -> Iterator[Event]:
    options: Json = body.get("stream_options") or {}
    return wire.chat_events(answer, body["model"], include_usage=bool(options.get("include_usage")))


def _response_events(answer: Answer, body: Json) -> Iterator[Event]:
    return wire.response_events(answer, body["model"])


def _message_events(answer: Answer, body: Json) -> Iterator[Event]:
    return wire.message_events(answer, body["model"])


class _Endpoint:
    def __init__(
        self,
        stub: StubUpstream,
        whole: Callable[[Answer, str], Json],
        events: Callable[[Answer, Json], Iterator[Event]],
    ) -> None:
        self._stub = stub
        self._whole = whole
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, stub = Request(scope, receive), self._stub
        body: Json = await request.json()
        stub.received.append(Received(request.url.path, dict(request.headers), body, anyio.current_time()))
        stub.arrived.set()
        fault = stub.faults.popleft() if stub.faults else stub.fault
        if isinstance(fault, Fails):
            await Response(fault.body, fault.status, fault.headers, "application/json")(scope, receive, send)
        elif isinstance(fault, Says):
            await Response(fault.data, 200, None, fault.content_type)(scope, receive, send)
        elif body.get("stream"):
            await self._stream(body, fault, receive, send)
        elif isinstance(fault, Holds):
            await self._hold(receive)
            await Response(json.dumps(self._whole(stub.answer(body), body["model"])))(scope, receive, send)
        else:
            content = json.dumps(self._whole(stub.answer(body), body["model"]))
            await Response(content, media_type="application/json")(scope, receive, send)

    async def _stream(self, body: Json, fault: Drops | Holds | None, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, (name, data) in enumerate(self._events(self._stub.answer(body), body)):
            if fault and number == fault.after:
                if isinstance(fault, Drops):
                    return
                await self._hold(receive)
            await send({"type": "http.response.body", "body": encoded(name, data), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _hold(self, receive: Receive) -> None:
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                self._stub.cut_off.set()
                group.cancel_scope.cancel()

            group.start_soon(watch)
            await self._stub.released.wait()
            group.cancel_scope.cancel()


def encoded(name: str | None, data: Json | str) -> bytes:
    """Write one server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    async def run(self, listener: socket.socket) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        with anyio.CancelScope(shield=True):
            await self.serve([listener])


@asynccontextmanager
async def running() -> AsyncGenerator[StubUpstream]:
    """Run a provider on a loopback port."""
    stub = StubUpstream()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    stub.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    options: dict[str, Any] = {"ws": "none", "lifespan": "off", "log_config": None, "access_log": False}
    config = uvicorn.Config(
        Starlette(routes=stub.routes()), log_level="critical", timeout_graceful_shutdown=1, **options
    )
    server = _Server(config)
    async with anyio.create_task_group() as group:
        group.start_soon(server.run, listener)
        await server.listens.wait()
        try:
            yield stub
        finally:
            stub.released.set()
            server.should_exit = True
