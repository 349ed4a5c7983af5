"""Pipes to a process inside, as anyio's streams."""

from __future__ import annotations

import os
from contextlib import suppress

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream


class Pipe:
    """One end of a pipe."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor

    @property
    def is_closed(self) -> bool:
        """Whether this end was closed."""
        return self._descriptor < 0

    def close(self) -> None:
        """Close at once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            anyio.notify_closing(descriptor)
            os.close(descriptor)

    async def aclose(self) -> None:
        """Close."""
        self.close()


class PipeReader(Pipe, ByteReceiveStream):
    """The reading end."""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what is there.

        Raises:
            anyio.EndOfStream: The other end was closed, or the sandbox has ended.
        """
        while not self.is_closed:
            try:
                data = os.read(self._descriptor, max_bytes)
            except BlockingIOError:
                with suppress(anyio.ClosedResourceError):
                    await anyio.wait_readable(self._descriptor)
                continue
            if data:
                return data
            break
        raise anyio.EndOfStream


class PipeWriter(Pipe, ByteSendStream):
    """The writing end."""

    async def send(self, item: bytes) -> None:
        """Write all of it.

        Raises:
            anyio.BrokenResourceError: Nobody reads any more.
            anyio.ClosedResourceError: This end was closed, or the sandbox has ended.
        """
        view = memoryview(item)
        while view:
            if self.is_closed:
                raise anyio.ClosedResourceError
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                await anyio.wait_writable(self._descriptor)
            except BrokenPipeError:
                raise anyio.BrokenResourceError from None
