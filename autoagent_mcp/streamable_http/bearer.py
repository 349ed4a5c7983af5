"""Lets in who shows the token; nobody else's request is looked at any further."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_HEADERS = {"WWW-Authenticate": "Bearer", "Connection": "close"}  # closed, as its body stays unread


class BearerOnly:
    """An ASGI application behind a bearer token (RFC 6750)."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request (ASGI)."""
        kind, _, shown = Headers(scope=scope).get("authorization", "").partition(" ")
        # In constant time, so that how long a refusal takes tells nothing of the token.
        if kind.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), self._token):
            await self._app(scope, receive, send)
        else:
            refusal = PlainTextResponse("Show the token: Authorization: Bearer <token>\n", 401, _HEADERS)
            await refusal(scope, receive, send)
