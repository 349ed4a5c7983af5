"""What is read from others inside: what they print, and what they send over TCP."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable
from typing import Protocol

from autoagent_mcp.harness.inside.frames import (
    CHUNK_BYTES,
    CREDIT,
    DATA,
    END,
    LOG_HALF_BYTES,
    OPEN,
    RESET,
    STREAMS_PER_TRIAL,
    WINDOW_BYTES,
)

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Log:
    """What a process prints: its beginning as it comes, its end when it is over."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._head_left = LOG_HALF_BYTES
        self._tail = bytearray()
        self._cut = 0

    def read(self) -> bytes | None:
        """Read once; return what belongs to the beginning, None where there is nothing more to read.

        Raises:
            BlockingIOError: Nothing has come yet.
        """
        data = os.read(self.fd, 2 * CHUNK_BYTES)
        if not data:
            return None
        head, tail = data[: self._head_left], data[self._head_left :]
        self._head_left -= len(head)
        self._tail += tail
        if len(self._tail) > 2 * LOG_HALF_BYTES:
            self._trim()
        return head

    def end(self) -> bytes:
        """Return what belongs to the end."""
        self._trim()
        note = f"\n[... {self._cut} bytes cut here ...]\n".encode() if self._cut else b""
        return note + bytes(self._tail)

    def _trim(self) -> None:
        excess = max(0, len(self._tail) - LOG_HALF_BYTES)
        self._cut += excess
        del self._tail[:excess]


class Carrier(Protocol):
    """What a connection needs: the line to the server, and a loop."""

    def send(self, kind: int, trial: int, stream: int, payload: bytes) -> None:
        """Queue a frame for the server."""
        ...

    def watch(self, fd: int, before: int, now: int, callback: Callable[[int], None]) -> None:
        """Change what a file is watched for."""
        ...

    def unwatch(self, fd: int) -> None:
        """Watch a file no more, if it is watched."""
        ...


class Door:
    """A listening socket: what connects there is carried to the server, and waits while too many are."""

    def __init__(self, carrier: Carrier, trial: int, listener: socket.socket) -> None:
        self._carrier, self._trial, self._listener = carrier, trial, listener
        self._connections: dict[int, Connection] = {}
        self._opened = 0
        carrier.watch(listener.fileno(), 0, READ, self._on_listener)

    def obey(self, kind: int, stream: int, payload: bytes) -> None:
        """Take a frame for one of its streams; the server may not know yet that it is closed."""
        if connection := self._connections.get(stream):
            connection.obey(kind, payload)

    def close(self) -> None:
        """Close all connections and listen no more."""
        for connection in list(self._connections.values()):
            connection.close()
        self._carrier.unwatch(self._listener.fileno())
        self._listener.close()

    def _on_listener(self, _: int) -> None:
        try:
            sock, _address = self._listener.accept()
        except OSError:
            return
        self._opened += 1
        self._carrier.send(OPEN, self._trial, self._opened, b"")
        self._connections[self._opened] = Connection(self, self._carrier, self._trial, self._opened, sock)
        if len(self._connections) == STREAMS_PER_TRIAL:
            self._carrier.unwatch(self._listener.fileno())

    def on_closed(self, stream: int) -> None:
        """Forget a connection, and let in one that waits."""
        was_full = len(self._connections) == STREAMS_PER_TRIAL
        del self._connections[stream]
        if was_full:
            self._carrier.watch(self._listener.fileno(), 0, READ, self._on_listener)


class Connection:
    """One TCP connection, carried to the server as a stream."""

    def __init__(self, door: Door, carrier: Carrier, trial: int, stream: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._door, self._carrier, self._sock = door, carrier, sock
        self._trial, self._stream = trial, stream
        self._credit = WINDOW_BYTES
        self._out = bytearray()
        self._client_ended = self._server_ended = self._is_shut = self._is_closed = False
        self._interest = 0
        self._watch()

    def obey(self, kind: int, payload: bytes) -> None:
        """Take a frame from the server."""
        if kind == DATA:
            self._out += payload
            self._on_event(WRITE)
        elif kind == CREDIT:
            self._credit += int.from_bytes(payload, "big")
            self._watch()
        elif kind == END:
            self._server_ended = True
            self._on_event(WRITE)
        else:
            self.close()

    def close(self) -> None:
        """Close it on this side."""
        if not self._is_closed:
            self._is_closed = True
            self._watch()
            self._sock.close()
            self._door.on_closed(self._stream)

    def _on_event(self, mask: int) -> None:
        try:
            if mask & WRITE:
                self._flush()
            if mask & READ:
                self._read()
        except BlockingIOError:
            self._watch()
        except OSError:
            self._say(RESET)
            self.close()

    def _read(self) -> None:
        if self._is_closed or self._client_ended or not self._credit:
            return
        data = self._sock.recv(min(CHUNK_BYTES, self._credit))
        self._credit -= len(data)
        self._client_ended = not data
        self._say(DATA if data else END, data)
        self._settle()

    def _flush(self) -> None:
        if self._is_closed:
            return
        while self._out:
            sent = self._sock.send(self._out[: 2 * CHUNK_BYTES])
            del self._out[:sent]
            self._say(CREDIT, sent.to_bytes(4, "big"))
        if self._server_ended and not self._is_shut:
            self._is_shut = True
            self._sock.shutdown(socket.SHUT_WR)
        self._settle()

    def _settle(self) -> None:
        if self._client_ended and self._is_shut:
            self.close()
        self._watch()

    def _watch(self) -> None:
        reads = READ if self._credit and not self._client_ended else 0
        interest = 0 if self._is_closed else reads | (WRITE if self._out else 0)
        if interest != self._interest:
            self._carrier.watch(self._sock.fileno(), self._interest, interest, self._on_event)
            self._interest = interest

    def _say(self, kind: int, payload: bytes = b"") -> None:
        self._carrier.send(kind, self._trial, self._stream, payload)
