"""Output of a command, kept within bounds: its beginning and its end."""

from __future__ import annotations


class Cut:
    """The first and the last half of `limit` bytes of what is added."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._gone = 0

    def add(self, data: bytes) -> None:
        """Add what came next."""
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._half:
            self._drop()

    def text(self) -> bytes:
        """Return what was kept, with a note where something is left out."""
        self._drop()
        note = f"\n[... {self._gone} bytes are left out here ...]\n".encode() if self._gone else b""
        return bytes(self._head) + note + bytes(self._tail)

    def _drop(self) -> None:
        over = len(self._tail) - self._half
        if over > 0:
            self._gone += over
            del self._tail[:over]
