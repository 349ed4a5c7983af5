"""Looking at this machine's processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio

_PATIENCE_SEC = 30.0


def with_argument(word: str) -> list[int]:
    """Return every process on this machine that has `word` in its command line, but for ended ones."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                arguments = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in arguments:
                found.append(int(folder.name))
    return found


def has_ended(pid: int) -> bool:
    """Tell whether a process has ended, buried or not."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):  # also while it is being read
        return True


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: It was not so within half a minute.
    """
    with anyio.fail_after(_PATIENCE_SEC):
        while not condition():  # noqa: ASYNC110 - what others do is no event here
            await anyio.sleep(0.01)
