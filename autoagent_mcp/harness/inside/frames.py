"""What the host and the server say to each other over the host's stdin and stdout."""

from __future__ import annotations

import struct

HEADER = struct.Struct("!BIII")
"""kind, trial, stream, size of the payload that follows."""

START, KILL, READY, STARTED, ENDED, LOG, OPEN, DATA, CREDIT, END, RESET = range(1, 12)
"""To the host: START (JSON), KILL. From it: READY (JSON), STARTED, ENDED (JSON), LOG, OPEN. Both ways: the rest."""

PAYLOAD_LIMIT_BYTES = 128 * 1024
"""Of any frame but START."""
CHUNK_BYTES = 32 * 1024
"""Of a DATA frame."""
WINDOW_BYTES = 256 * 1024
"""How far the sender of a stream may be ahead of its receiver; CREDIT (4 bytes) gives back what was taken."""
STREAMS_PER_TRIAL = 32
"""How many connections of a child are carried at once; the others wait in its own backlog."""
LOG_HALF_BYTES = 500_000
"""What is kept of a child's output: so much of its beginning and so much of its end."""
PORT = 4000
"""Where a child finds the gateway: on 127.0.0.1, in a network namespace that is its alone."""
