"""The page, its data and its traces over HTTP: for who shows the token in the address, and for nobody else.

Any program on this machine may connect, and any web page in the person's browser may send requests here: hence the
token, and the names by which this server may be called, so that no web page gets here by a name of its own.
"""

from __future__ import annotations

import hmac

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from autoagent_mcp.report.page import page
from autoagent_mcp.view.live import Live

_NAMES = frozenset({"127.0.0.1", "localhost"})
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the rest stands in the page
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def site(live: Live, title: str, token: str) -> ASGIApp:
    """Return the application.

    Args:
        live: What it shows.
        title: The workspace's name.
        token: The first part of each path.
    """
    text = page(title, None)

    async def index(_: Request) -> Response:
        return HTMLResponse(text)

    async def data(request: Request) -> Response:
        found = await live.snapshot()
        headers = {"ETag": f'"{found.version}"'}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(found.packed, media_type="application/json", headers={**headers, "Content-Encoding": "gzip"})

    async def trace(request: Request) -> Response:
        found = await live.trace(request.path_params["run"], request.path_params["number"])
        if found is None:
            return PlainTextResponse("There is no such trace.\n", 404)
        return Response(found, media_type="text/javascript")

    routes = (("", index), ("data.json", data), ("traces/{run}/{number:int}.js", trace))
    return _Guarded(Starlette(routes=[Route(f"/{{token}}/{path}", answer) for path, answer in routes]), token)


class _Guarded:
    """Lets only those through who know the token and call this server by its own name, and marks each answer."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request (ASGI)."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await (self._refusal(Headers(scope=scope), scope["path"]) or self._app)(scope, receive, marked)

    def _refusal(self, headers: Headers, path: str) -> Response | None:
        host = headers.get("host", "")
        if host.partition(":")[0] not in _NAMES:
            return PlainTextResponse("This server is called 127.0.0.1 or localhost.\n", 421)
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            return PlainTextResponse("Other sites may not ask this server.\n", 403)
        # In constant time, so that how long a refusal takes tells nothing of the token.
        if not hmac.compare_digest(path.removeprefix("/").partition("/")[0].encode(), self._token):
            return PlainTextResponse("The address with its token is where this server was started.\n", 404)
        return None
