"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes | str, *, mode: int | None = None, scratch: Path | None = None) -> None:
    """Write a file so that a reader, also one after a crash, sees all of it or what was there before.

    Args:
        path: The file.
        data: Its content; text is written as UTF-8.
        mode: Its permissions; the owner's alone where not given.
        scratch: A folder on the same filesystem for the unfinished file, where it may not lie beside `path`.

    Raises:
        OSError: The disk is full, or the folder cannot be written; nothing is left behind.
    """
    content = data.encode() if isinstance(data, str) else data
    descriptor, beside = tempfile.mkstemp(dir=scratch or path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def append_line(path: Path, line: str) -> None:
    """Append one line in one write and see it on disk before returning.

    Raises:
        OSError: The disk is full, or the file cannot be written.
    """
    with path.open("ab") as file:
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
