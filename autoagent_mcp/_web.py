"""A web server on one socket, as a part of a larger program (uvicorn)."""

from __future__ import annotations

import asyncio  # noqa: TID251 - uvicorn asks for a protocol of asyncio's
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from autoagent_mcp._tasks import background_tasks

_KEEP_ALIVE_SEC = 75
_HEADER_LIMIT_BYTES = 32 * 1024


def listen(host: str, port: int) -> socket.socket:
    """Take a port of an address of this machine; port 0 takes a free one.

    Raises:
        OSError: It is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for sockets that name TCP; with it each answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if port:  # else what was closed a minute ago would still hold it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # without it a second server could bind the same port, and fail only later
    except OSError:
        listener.close()
        raise
    return listener


@asynccontextmanager
async def serving(
    app: ASGIApp, listener: socket.socket, protocol: type[asyncio.Protocol] = H11Protocol
) -> AsyncGenerator[None]:
    """Serve an ASGI application on a socket until the context is left; what is under way then has a second to end."""
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SEC,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=_HEADER_LIMIT_BYTES,
    )
    server = _Server(config)
    async with background_tasks() as group:
        group.start_soon(server.run_shielded, listener)
        await server.listens.wait()
        try:
            yield
        finally:
            server.should_exit = True


class _Server(uvicorn.Server):
    """It leaves signals alone and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    async def run_shielded(self, listener: socket.socket) -> None:
        """Serve until told to exit; a cancellation does not reach it, so that it closes its connections."""
        with anyio.CancelScope(shield=True):
            await self.serve([listener])
