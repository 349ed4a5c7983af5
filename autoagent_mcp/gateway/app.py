"""The gateway: a server on a loopback port, the only thing that a harness can reach.

It lives in the server's own event loop. Each trial opens a session and hands the session's token to its harness.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext

import anyio
import pydantic_core
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.config import ModelSettings, TrialSettings
from autoagent_mcp.errors import GatewayError
from autoagent_mcp.gateway.backoff import Backoff
from autoagent_mcp.gateway.calls import ModelCalls
from autoagent_mcp.gateway.chat import ChatApi, openai_error
from autoagent_mcp.gateway.environment import Commands, Downloads, Uploads
from autoagent_mcp.gateway.messages import MessagesApi
from autoagent_mcp.gateway.prices import Price, price_of
from autoagent_mcp.gateway.responses import ResponsesApi
from autoagent_mcp.gateway.session import Session
from autoagent_mcp.gateway.upstream import Upstream, connect
from autoagent_mcp.models.trial import TrialFiles
from autoagent_mcp.sandbox.base import Sandbox

_HOST = "127.0.0.1"
_KEEP_ALIVE_SEC = 75
_HEADER_LIMIT_BYTES = 32 * 1024


class Gateway:
    """The running gateway."""

    def __init__(self, model: ModelSettings, upstream: Upstream, price: Price) -> None:
        self.port = 0
        self._upstream = upstream
        self._price = price
        self._sessions: dict[str, Session] = {}
        apis = (ChatApi(), ResponsesApi(), MessagesApi())
        routes = [
            *(
                Route(api.path, ModelCalls(self._sessions, api, model, upstream, price), methods=["POST"])
                for api in apis
            ),
            Route("/environment/exec", Commands(self._sessions), methods=["POST"]),
            Route("/environment/upload", Uploads(self._sessions), methods=["PUT"]),
            Route("/environment/download", Downloads(self._sessions), methods=["GET"]),
        ]
        offered = ", ".join(f"{'/'.join(sorted((route.methods or set()) - {'HEAD'}))} {route.path}" for route in routes)
        self.app = Starlette(routes=routes, exception_handlers={404: _unknown(offered), 405: _unknown(offered)})

    @asynccontextmanager
    async def session(self, files: TrialFiles, sandbox: Sandbox, limits: TrialSettings) -> AsyncGenerator[Session]:
        """Open a trial's door; when the context is left its token is dead and its calls under way are cancelled.

        Args:
            files: Where model calls and commands are recorded; the folder exists.
            sandbox: Where the harness's commands run.
            limits: What the trial may spend.

        Raises:
            OSError: On leaving: the record could not be written.
        """
        session = Session(files, sandbox, limits, price=self._price, secret=self._upstream.key)
        self._sessions[session.token] = session
        try:
            yield session
        finally:
            await session.close()
            del self._sessions[session.token]
        if session.recorder.failure:
            raise session.recorder.failure


@asynccontextmanager
async def serve(
    model: ModelSettings, *, upstream_url: str | None = None, backoff: Backoff | None = None
) -> AsyncGenerator[Gateway]:
    """Run the gateway until the context is left.

    Args:
        model: The pinned model.
        upstream_url: The provider's base URL, instead of the one that `model` implies; it ends before
            `/chat/completions`, `/responses` or `/messages`.
        backoff: How patient to be with the provider.

    Raises:
        GatewayError: The key or the address of the provider is missing, or the local model does not start.
    """
    async with _local(model, upstream_url) as base_url, connect(model, base_url, backoff or Backoff()) as upstream:
        gateway = Gateway(model, upstream, await price_of(model))
        async with _serving(gateway):
            yield gateway


def _local(model: ModelSettings, upstream_url: str | None) -> AbstractAsyncContextManager[str | None]:
    if model.provider != "local" or upstream_url is not None:
        return nullcontext(upstream_url)
    from autoagent_mcp.gateway import local_model  # noqa: PLC0415 - loaded only where it is used

    return local_model.serve()


class _Server(uvicorn.Server):
    """uvicorn as a part of a larger program: it leaves signals alone and says when it listens."""

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


@asynccontextmanager
async def _serving(gateway: Gateway) -> AsyncGenerator[None]:
    """Serve the gateway's app on a free loopback port."""
    config = uvicorn.Config(
        gateway.app,
        http="h11",
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
    listener = _listener()
    gateway.port = listener.getsockname()[1]
    async with background_tasks() as group:
        group.start_soon(server.run_shielded, listener)
        await server.listens.wait()
        try:
            yield
        finally:
            server.should_exit = True


def _listener() -> socket.socket:
    # asyncio turns Nagle's algorithm off only for sockets that name TCP; with it each answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.bind((_HOST, 0))
    except OSError as error:
        listener.close()
        raise GatewayError(f"No port can be opened on {_HOST}: {error}.", "Allow loopback connections.") from error
    return listener


def _unknown(offered: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, _error: Exception) -> Response:
        message = f"{request.method} {request.url.path[:200]} is not allowed by autoagent-mcp; there are {offered}"
        return Response(
            pydantic_core.to_json(openai_error("unknown_route", message, 404)), 404, None, "application/json"
        )

    return answer
