"""Log records that must not come to the server's own log: what is logged of hidden trials names paths and texts."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"
_is_diverted: ContextVar[bool] = ContextVar("is_diverted", default=False)


@contextmanager
def diverted(path: Path) -> Generator[None]:
    """Send what is logged in this context, by its tasks and threads too, to a file and nowhere else.

    One at a time: the end of a second one would open the other handlers to the first.
    """
    root = logging.getLogger()
    others = list(root.handlers)
    own = logging.FileHandler(path, encoding="utf-8", delay=True)
    own.setFormatter(logging.Formatter(LINE))
    own.addFilter(_is_from_here)
    for handler in others:
        handler.addFilter(_is_from_elsewhere)
    root.addHandler(own)
    token = _is_diverted.set(True)
    try:
        yield
    finally:
        _is_diverted.reset(token)
        root.removeHandler(own)
        own.close()
        for handler in others:
            handler.removeFilter(_is_from_elsewhere)


def _is_from_here(_: logging.LogRecord) -> bool:
    return _is_diverted.get()


def _is_from_elsewhere(_: logging.LogRecord) -> bool:
    return not _is_diverted.get()
