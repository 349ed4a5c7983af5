"""The socket of one request to a sandbox's process 1."""

from __future__ import annotations

import socket
from contextlib import suppress

import anyio

from autoagent_mcp.sandbox.bubblewrap.inside import frames


class Channel:
    """One request's socket, our end."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = bytearray()

    async def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            OSError: The other end is gone.
        """
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                await anyio.wait_writable(self._socket)

    def end(self) -> None:
        """Tell the other end that nothing more comes."""
        with suppress(OSError):  # closed already, by either
            self._socket.shutdown(socket.SHUT_WR)

    async def frame(self) -> tuple[bytes, bytes]:
        """Return the next frame's kind and payload.

        Raises:
            EOFError: The other end is gone.
        """
        kind, size = frames.FRAME.unpack(await self._read(frames.FRAME.size))
        if size > frames.CHUNK_BYTES:
            raise EOFError
        return kind, await self._read(size)

    async def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:
                data = self._socket.recv(frames.CHUNK_BYTES)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
                continue
            except OSError:
                data = b""
            if not data:
                raise EOFError
            self._buffer += data
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    @property
    def is_closed(self) -> bool:
        """Whether this end was closed."""
        return self._socket.fileno() < 0

    def close(self) -> None:
        """Close; whoever serves the request on the other side stops."""
        if self._socket.fileno() >= 0:
            anyio.notify_closing(self._socket)
            self._socket.close()
