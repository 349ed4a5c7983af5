"""Lets a request in: whose it is, how large it may be, and when it is cut off."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import anyio
import pydantic_core
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from autoagent_mcp.gateway.api import JsonObject, RefusedError
from autoagent_mcp.gateway.session import Session

JSON = b"application/json"
_EVENTS = b"text/event-stream; charset=utf-8"


class Reply:
    """What goes back to the harness: one whole answer, or a stream of events."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_streaming = False
        self.is_ended = False

    async def whole(self, status: int, body: bytes, content_type: bytes = JSON) -> None:
        """Answer at once. The SDKs are told not to send again: that is the gateway's work, and it has been done."""
        headers = [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
            (b"x-should-retry", b"false"),
        ]
        self.is_ended = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def event(self, name: str, data: str) -> None:
        """Pass on one event of a stream."""
        if not self.is_streaming:
            self.is_streaming = True
            headers = [(b"content-type", _EVENTS), (b"cache-control", b"no-cache")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        lines = "".join(f"data: {line}\n" for line in data.split("\n"))
        head = "" if name == "message" else f"event: {name}\n"
        await self._send({"type": "http.response.body", "body": f"{head}{lines}\n".encode(), "more_body": True})

    async def end(self) -> None:
        """End a stream."""
        if self.is_streaming and not self.is_ended:
            self.is_ended = True
            await self._send({"type": "http.response.body", "body": b""})


class Endpoint(ABC):
    """A route that belongs to a session."""

    body_limit_bytes: int

    def __init__(self, sessions: Mapping[str, Session]) -> None:
        self._sessions = sessions

    @abstractmethod
    async def work(self, session: Session, request: Request, raw: bytes, reply: Reply) -> None:
        """Answer a request.

        Raises:
            RefusedError: It is not allowed.
        """

    @abstractmethod
    def error(self, refused: RefusedError) -> JsonObject:
        """Write a refusal in the form that the caller understands."""

    async def cut_off(self, session: Session, reply: Reply) -> None:  # noqa: ARG002 - for those who say whose it was
        """End a stream whose session has ended."""
        await reply.end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request (ASGI)."""
        request, reply = Request(scope, receive), Reply(send)
        try:
            await self._let_in(request, reply)
        except RefusedError as refused:
            await reply.whole(refused.status, pydantic_core.to_json(self.error(refused)))
        except ClientDisconnect:
            return

    async def _let_in(self, request: Request, reply: Reply) -> None:
        session = self._sessions.get(token_of(request.headers))
        if session is None:
            text = "the token is not that of a running trial; use the key that the environment gives"
            raise RefusedError(401, "invalid_api_key", text)
        with session.call():
            await self._serve(session, request, reply)
        if reply.is_streaming:
            await self.cut_off(session, reply)
        elif not reply.is_ended:
            raise session.ended()

    async def _serve(self, session: Session, request: Request, reply: Reply) -> None:
        """Work until it is done, or the harness has gone away."""
        try:
            raw = await _read(request, self.body_limit_bytes)
            await self._work_while_there(session, request, raw, reply)
        except RefusedError as refusal:
            session.refuse(refusal)
            raise
        if not reply.is_ended and not reply.is_streaming:
            raise ClientDisconnect

    async def _work_while_there(self, session: Session, request: Request, raw: bytes, reply: Reply) -> None:
        refusal: RefusedError | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_when_gone, request, group.cancel_scope)
            try:
                await self.work(session, request, raw, reply)
            except RefusedError as refused:
                refusal = refused
            group.cancel_scope.cancel()
        if refusal:
            raise refusal


async def _cancel_when_gone(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _read(request: Request, limit_bytes: int) -> bytes:
    refusal = RefusedError(413, "too_large", f"the request's body is larger than {limit_bytes} bytes")
    if int(request.headers.get("content-length") or 0) > limit_bytes:
        raise refusal
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > limit_bytes:
            raise refusal
    return bytes(data)


def token_of(headers: Headers) -> str:
    """Read the token, from where OpenAI's or from where Anthropic's SDK puts its key."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
