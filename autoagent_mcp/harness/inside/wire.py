"""The line to the server over stdin and stdout, and everything else that is waited for."""

from __future__ import annotations

import contextlib
import os
import selectors
from collections.abc import Callable
from typing import NoReturn

from autoagent_mcp.harness.inside.frames import CHUNK_BYTES, HEADER
from autoagent_mcp.harness.inside.streams import READ, WRITE

_AHEAD_BYTES = 1_000_000
"""How much may wait for the server before what others send is left in their own sockets."""


class Wire:
    """A loop over everything that may become ready; no threads, and nothing blocks."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._control, self._bulk = selectors.EpollSelector(), selectors.EpollSelector()
        self._incoming, self._out = bytearray(), bytearray()
        self._is_bulk_on = self._is_sink_watched = False
        for fd in (source, sink):
            os.set_blocking(fd, False)
        self._control.register(source, READ, self._on_server)

    def run(self) -> NoReturn:
        """Serve until the server closes its end."""
        while True:
            self._flush()
            for key, mask in self._control.select():
                key.data(mask)

    def obey(self, kind: int, number: int, stream: int, payload: bytes) -> None:
        """Take a frame from the server."""
        raise NotImplementedError

    def send(self, kind: int, trial: int, stream: int, payload: bytes) -> None:
        """Queue a frame for the server."""
        self._out += HEADER.pack(kind, trial, stream, len(payload))
        self._out += payload

    def watch(self, fd: int, before: int, now: int, callback: Callable[[int], None]) -> None:
        """Change what a file is watched for; one with nothing to wait for must go, or epoll reports its hang-up."""
        if not now:
            self._bulk.unregister(fd)
        elif before:
            self._bulk.modify(fd, now, callback)
        else:
            self._bulk.register(fd, now, callback)

    def unwatch(self, fd: int) -> None:
        """Watch a file no more, if it is watched."""
        if fd in self._bulk.get_map():
            self._bulk.unregister(fd)

    def watch_always(self, fd: int, callback: Callable[[int], None]) -> None:
        """Call back when there is something to read, however far the server is behind."""
        self._control.register(fd, READ, callback)

    def unwatch_always(self, fd: int) -> None:
        """Do so no more."""
        self._control.unregister(fd)

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._out:
                del self._out[: os.write(self._sink, self._out[: 8 * CHUNK_BYTES])]
        if bool(self._out) != self._is_sink_watched:
            self._is_sink_watched = not self._is_sink_watched
            if self._is_sink_watched:
                self._control.register(self._sink, WRITE, _ignore)
            else:
                self._control.unregister(self._sink)
        if (len(self._out) < _AHEAD_BYTES) != self._is_bulk_on:
            self._is_bulk_on = not self._is_bulk_on
            if self._is_bulk_on:
                self._control.register(self._bulk.fileno(), READ, self._on_bulk)
            else:
                self._control.unregister(self._bulk.fileno())

    def _on_bulk(self, _: int) -> None:
        for key, mask in self._bulk.select(0):
            if self._bulk.get_map().get(key.fd) == key:  # an earlier one of this round may have closed it
                key.data(mask)

    def _on_server(self, _: int) -> None:
        data = os.read(self._source, 8 * CHUNK_BYTES)
        if not data:
            os._exit(0)
        self._incoming += data
        while len(self._incoming) >= HEADER.size:
            kind, trial, stream, size = HEADER.unpack_from(self._incoming)
            if len(self._incoming) < HEADER.size + size:
                return
            payload = bytes(self._incoming[HEADER.size : HEADER.size + size])
            del self._incoming[: HEADER.size + size]
            self.obey(kind, trial, stream, payload)


def standard_streams() -> tuple[int, int]:
    """Take stdin and stdout away from everything else in this process; return what they were."""
    source, sink = os.dup(0), os.dup(1)
    os.dup2(os.open("/dev/null", os.O_RDWR), 0)
    os.dup2(2, 1)
    return source, sink


def _ignore(_: int) -> None:
    pass
