"""A log apart: what is logged while hidden trials go on may hold their names, paths and texts."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"


@contextmanager
def diverted(path: Path) -> Generator[None]:
    """Send all that is logged meanwhile to a file and nowhere else; one at a time.

    All of it, since a harness may bring any part of the server, such as the gateway, to log what it chooses.
    """
    root = logging.getLogger()
    others = list(root.handlers)
    own = logging.FileHandler(path, encoding="utf-8", delay=True)
    own.setFormatter(logging.Formatter(_LINE))
    for handler in others:
        handler.addFilter(_nothing)
    root.addHandler(own)
    try:
        yield
    finally:
        root.removeHandler(own)
        own.close()
        for handler in others:
            handler.removeFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False
