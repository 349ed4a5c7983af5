"""The relay: listens on a loopback port of a task sandbox and carries what connects there to the server.

It runs with Python 3.8, too: the image is the task's.
"""

from __future__ import annotations

import json
import socket
from typing import NoReturn

from autoagent_mcp.harness.inside.frames import READY, START
from autoagent_mcp.harness.inside.streams import Door
from autoagent_mcp.harness.inside.wire import Wire, standard_streams


class Relay(Wire):
    """Tells its port at once, and lets connections in when the server gives the order."""

    def __init__(self, source: int, sink: int) -> None:
        super().__init__(source, sink)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self._door: Door | None = None
        self.send(READY, 0, 0, json.dumps({"port": str(self._listener.getsockname()[1])}).encode())

    def obey(self, kind: int, number: int, stream: int, payload: bytes) -> None:
        """See `Wire.obey`."""
        if kind == START:
            self._door = Door(self, number, self._listener)
        elif self._door is not None:
            self._door.obey(kind, stream, payload)


def main() -> NoReturn:
    """Relay until the server closes its end."""
    Relay(*standard_streams()).run()
