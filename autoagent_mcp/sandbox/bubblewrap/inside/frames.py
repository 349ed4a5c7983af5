"""What goes over the sockets between the server and process 1.

The control socket carries `CONTROL` messages, each with the file descriptors of a channel (a stream socket for this
request alone) and of the stdio of a process to spawn. The channel carries the request (four bytes length, then fields
that end in NUL) and what follows it, and back come frames: one byte kind, four bytes length, the payload.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import socket

CONTROL = struct.Struct("<cd")
"""The kind of a request, and the seconds that it may take (inf where no limit is set)."""
FRAME = struct.Struct("<cI")
LENGTH = struct.Struct("<I")

# Requests.
EXEC, SPAWN, PUT, GET, KILL_ALL = b"x", b"s", b"p", b"g", b"k"
# Answers: parts of stdout, stderr or an archive; then one that ends them.
STDOUT, STDERR, DATA = b"o", b"e", b"d"
DONE, FAILED, LOST = b"r", b"f", b"l"

CHUNK_BYTES = 65536


def pack_request(fields: list[bytes]) -> bytes:
    """Return a request's bytes; no field may hold a NUL."""
    body = b"".join(field + b"\0" for field in fields)
    return LENGTH.pack(len(body)) + body


def read_request(channel: socket) -> Iterator[bytes]:
    """Read a request and return its fields one by one."""
    (length,) = LENGTH.unpack(read_exactly(channel, LENGTH.size))
    return iter(read_exactly(channel, length).split(b"\0")[:-1])


def read_exactly(channel: socket, size: int) -> bytes:
    """Read `size` bytes.

    Raises:
        EOFError: The other end was closed before.
    """
    parts: list[bytes] = []
    while size > 0:
        part = channel.recv(min(size, CHUNK_BYTES))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def send_frame(channel: socket, kind: bytes, payload: bytes) -> None:
    """Send one frame; what is longer than a chunk goes out as several of the same kind."""
    for start in range(0, max(len(payload), 1), CHUNK_BYTES):
        part = payload[start : start + CHUNK_BYTES]
        channel.sendall(FRAME.pack(kind, len(part)) + part)
