"""Files that appear whole or not at all, and a lock that its holder's death gives back."""

from __future__ import annotations

import fcntl
import glob
import os
import tempfile
from pathlib import Path


def write_whole(
    path: Path, data: bytes | str, *, mode: int | None = None, scratch: Path | None = None, is_durable: bool = True
) -> None:
    """Write a file so that a reader, also one after a crash, sees all of it or what was there before.

    Args:
        path: The file.
        data: Its content; text is written as UTF-8.
        mode: Its permissions; the owner's alone where not given.
        scratch: A folder on the same filesystem for the unfinished file, where it may not lie beside `path`; made
            where it is missing.
        is_durable: Whether it must be on the disk on return (some milliseconds); no need where it can be made again.

    Raises:
        OSError: The disk is full, or the folder cannot be written; nothing is left behind.
    """
    content = data.encode() if isinstance(data, str) else data
    if scratch is not None:
        scratch.mkdir(exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=scratch or path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            if is_durable:
                os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    if is_durable:
        _sync_folder(path.parent)


def clear_unfinished(*paths: Path) -> None:
    """Remove what a process that was killed left of writing these files; only for who alone writes them."""
    for path in paths:
        for unfinished in path.parent.glob(f".{glob.escape(path.name)}.????????"):
            unfinished.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileLock:
    """A lock that one process holds until it gives it back or dies, however it dies (flock)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Take the lock where nobody holds it; tell whether this object holds it now.

        Raises:
            OSError: The file cannot be made.
        """
        if self._descriptor is not None:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return True

    def give_back(self) -> None:
        """Give the lock back, where this object holds it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> str:
        """Name the process that holds the lock, or held it last."""
        try:
            return f"process {self._path.read_text(encoding='utf-8').strip()}"
        except OSError:
            return "an unknown process"
