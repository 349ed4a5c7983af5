"""The line to one command in a container: the engine's hijacked connection, stdout and stderr told apart; blocks.

Format: https://docs.docker.com/reference/api/engine/ ("Attach to a container", stream format): a header of 8 bytes, the
first naming the stream (1 stdout, 2 stderr), the last four the length of what follows, big-endian.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

_HEADER = struct.Struct(">BxxxI")
_CHUNK_BYTES = 65536
STDOUT, STDERR = 1, 2


class Attached:
    """A command's stdio.

    Args:
        hijacked: What `APIClient.exec_start(socket=True)` returned: over a Unix socket or tcp a SocketIO, over TLS the
            socket, over ssh paramiko's channel.
    """

    def __init__(self, hijacked: Any) -> None:  # noqa: ANN401 - three types that have nothing in common
        self._line = getattr(hijacked, "_sock", hijacked)
        # The buffered reader behind the response may already hold the first bytes of what the command said.
        reader = hijacked._response.raw._fp.fp  # noqa: SLF001 - the docker package hands it out nowhere else
        self._receive = reader.read1 if hasattr(reader, "read1") else hijacked.recv
        self._keeps_open = hijacked
        self._buffer = bytearray()
        self._line.settimeout(None)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield which stream and what came, until the command has ended or the line was cut."""
        while header := self._exactly(_HEADER.size):
            stream, left = _HEADER.unpack(header)
            while left > 0:
                if not self._buffer and not self._fill():
                    return
                part = bytes(self._buffer[:left])
                del self._buffer[:left]
                left -= len(part)
                yield stream, part

    def send(self, data: bytes) -> None:
        """Write to its stdin.

        Raises:
            OSError: It has ended, or the line was cut.
        """
        self._line.sendall(data)

    def end_input(self) -> None:
        """Close its stdin."""
        with suppress(OSError):
            if hasattr(self._line, "shutdown_write"):
                self._line.shutdown_write()
            else:
                self._line.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Cut the line; whoever waits in `frames` or `send` stops. The command may go on."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it, once nobody uses it any more."""
        with suppress(OSError):
            self._line.close()
        self._keeps_open._response.close()  # noqa: SLF001 - see __init__

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._fill():
                return b""
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _fill(self) -> bool:
        try:
            data = self._receive(_CHUNK_BYTES)
        except (OSError, ValueError):  # cut; ValueError: the reader was closed
            return False
        self._buffer += data
        return bool(data)
