"""How long a connection may stay without a request, and how many there may be.

uvicorn itself waits for ever for a request's head and body, and takes any number of connections: anybody on the machine
could use up the files that the server may open, without ever showing a token.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - uvicorn's protocols are asyncio's
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 128


class ImpatientProtocol(H11Protocol):
    """A connection that is closed when two looks in a row find no new request and none that has come in whole.

    An answer under way, such as a stream of events, is never cut.
    """

    look_every_sec = 15.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self._seen: object = None
        self._look_later()

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        self._timer = self.loop.call_later(self.look_every_sec, self._look)

    def _look(self) -> None:
        cycle = self.cycle  # the last request, and None (whatever its type says) before the first one
        is_waiting = not cycle or cycle.response_complete or cycle.more_body
        if is_waiting and cycle is self._seen:
            self.transport.close()
        else:
            self._seen = cycle
            self._look_later()
