"""Command lines of our own in a container: run as root, never believed, and cut off when their time is up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.sandbox.docker.command import NOT_STARTED, Command, Ended
from autoagent_mcp.sandbox.docker.engine import Engine

_LOOK_SEC = 0.02
_CLEAN = {"BASH_ENV": "", "LD_PRELOAD": "", "LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class Ours:
    """Runs them.

    Args:
        engine: Where.
        container: The engine's name for it.
    """

    def __init__(self, engine: Engine, container: str) -> None:
        self._engine = engine
        self._container = container

    async def run(self, argv: list[str], within_sec: float) -> Ended:
        """Run one and return what it gave; nothing where it took longer, as what it calls may have been replaced.

        Raises:
            EngineError: The engine refused, or is away.
        """
        ours = await self._make(argv)
        with anyio.move_on_after(within_sec):
            await _follow(ours)
        return ours.result

    async def kill_until(self, argv: list[str], is_done: Callable[[], Awaitable[bool]], within_sec: float) -> bool:
        """Run a command line that kills, and look from outside until its work is done; tell whether it was in time.

        The engine may say only seconds later that the command line has ended, where an earlier one left something
        running that holds its output open (containerd, `execProcess.delete` waits 2 s for it).
        """
        async with background_tasks() as group:
            with anyio.move_on_after(within_sec):
                while True:  # a command that the engine is still starting is not found the first time
                    killer = await self._make(argv)
                    group.start_soon(_follow, killer)
                    if await self._is_done_by(killer, is_done):
                        return True
        return False

    async def _is_done_by(self, killer: Command, is_done: Callable[[], Awaitable[bool]]) -> bool:
        """Look until the work is done or the killer ended; one that has yet to start would meet the next command."""
        while not killer.ended.is_set():
            if await killer.process_id() != NOT_STARTED and await is_done():
                return True
            await anyio.sleep(_LOOK_SEC)
        return await is_done()

    async def _make(self, argv: list[str]) -> Command:
        made = await self._engine.call(
            self._engine.client.exec_create, self._container, argv, environment=_CLEAN, workdir="/", user="0"
        )
        return Command(self._engine, made["Id"])


async def _follow(ours: Command) -> None:
    """Follow it to its end, or cut it off."""
    async with anyio.create_task_group() as group:
        group.start_soon(ours.follow)
        try:
            await ours.ended.wait()
        finally:
            ours.cut()
