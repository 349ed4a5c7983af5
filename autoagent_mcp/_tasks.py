"""Tasks that live as long as a context, a bell to wake one, and the signals that ask all of them to end."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def background_tasks() -> AsyncGenerator[TaskGroup]:
    """Make a task group that is cancelled when its context is left.

    An exception of the body is raised as it is; a task group alone would wrap it in an ExceptionGroup.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        try:
            yield group
        except Exception as error:  # noqa: BLE001 - raised again below
            failure = error
        finally:
            group.cancel_scope.cancel()
    if failure is not None:
        raise failure


def ending_signals() -> list[signal.Signals]:
    """Return the signals to end at: SIGHUP not in a process that was started to outlive its terminal (`nohup`)."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hangs_up else [])]


class Bell:
    """Wakes a task that waits for it; rung while nobody waits, it wakes the next one who does."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Wake whoever waits."""
        self._rung.set()

    async def heard(self, within_sec: float) -> bool:
        """Wait until it is rung, at most so long, and tell whether it was."""
        with anyio.move_on_after(within_sec):
            await self._rung.wait()
        was_rung = self._rung.is_set()
        if was_rung:
            self._rung = anyio.Event()
        return was_rung
