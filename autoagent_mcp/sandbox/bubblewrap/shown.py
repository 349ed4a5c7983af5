"""Folders that sandboxes are shown: as long as one is, `autoagent-mcp clean` leaves it.

Each sandbox holds a shared lock (flock) on the folder itself, which the kernel gives back for a server that was killed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(folder: Path) -> Generator[None]:
    """Hold a folder.

    Raises:
        OSError: It is gone, or being removed.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def claimed(folder: Path) -> Generator[bool]:
    """Tell whether nobody holds a folder; nobody can then, until the context is left.

    Raises:
        OSError: It is gone.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
