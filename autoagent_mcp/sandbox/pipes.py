"""Pipes to a process, as anyio's streams."""

from __future__ import annotations

import os

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream


class PipeReader(ByteReceiveStream):
    """The reading end of a pipe."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what is there.

        Raises:
            anyio.EndOfStream: The other end was closed.
            anyio.ClosedResourceError: This end was closed.
        """
        while True:
            if self._descriptor < 0:
                raise anyio.ClosedResourceError
            try:
                data = os.read(self._descriptor, max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._descriptor)
                continue
            if not data:
                raise anyio.EndOfStream
            return data

    def close(self) -> None:
        """Close at once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            anyio.notify_closing(descriptor)
            os.close(descriptor)

    async def aclose(self) -> None:
        """Close."""
        self.close()


class PipeWriter(ByteSendStream):
    """The writing end of a pipe."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor

    async def send(self, item: bytes) -> None:
        """Write all of it.

        Raises:
            anyio.BrokenResourceError: Nobody reads any more.
            anyio.ClosedResourceError: This end was closed.
        """
        view = memoryview(item)
        while view:
            if self._descriptor < 0:
                raise anyio.ClosedResourceError
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                await anyio.wait_writable(self._descriptor)
            except BrokenPipeError:
                raise anyio.BrokenResourceError from None

    def close(self) -> None:
        """Close at once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            anyio.notify_closing(descriptor)
            os.close(descriptor)

    async def aclose(self) -> None:
        """Close."""
        self.close()
