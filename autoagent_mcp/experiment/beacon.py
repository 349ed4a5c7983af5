"""Keeps `.autoagent/status.json` true, and heeds a person's stop, while this server is the one that writes.

Both are the business of one task in the background, so that no answer waits for them.
"""

from __future__ import annotations

import logging
import os
from datetime import datetime, timezone

import anyio
import anyio.to_thread

from autoagent_mcp import __version__
from autoagent_mcp._io import write_whole
from autoagent_mcp.errors import AutoagentError
from autoagent_mcp.experiment.guide import Guide
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.experiment.spending import Spending
from autoagent_mcp.experiment.stopping import stopped
from autoagent_mcp.models.status import Status

_LOOK_SEC = 0.5
"""How often it is looked whether a person said stop."""
_log = logging.getLogger(__name__)
_disk = anyio.CapacityLimiter(1)


class Beacon:
    """Tells hooks, and who starts clients, how the loop stands."""

    def __init__(self, shared: Shared, guide: Guide, spending: Spending) -> None:
        self._workspace = shared.bench.workspace
        self._record = shared.record
        self._runs = shared.runs
        self._guide = guide
        self._spending = spending
        self._is_looping = False
        self._before: tuple[int, int] | None = None

    async def attend(self) -> None:
        """Write the status at once and whenever something has changed, and cut the run short when a person says so."""
        told: str | None = None
        while True:
            said = stopped(self._workspace)
            if said:
                self._runs.cut(said)
            if said != told:
                self._runs.changed.ring()
                told = said
            if await self._runs.changed.heard(_LOOK_SEC):
                await self.write()

    async def write(self, *, is_serving: bool = True) -> None:
        """Write how things stand; a server that only reads writes nothing."""
        if not self._record.ledger.writable:
            return
        try:
            data = (await self._status(is_serving=is_serving)).model_dump_json(indent=1)
            await anyio.to_thread.run_sync(
                lambda: write_whole(self._workspace.status, data, scratch=self._workspace.scratch, is_durable=False),
                limiter=_disk,
            )
        except (AutoagentError, OSError):
            _log.exception("The status could not be written")

    async def _status(self, *, is_serving: bool) -> Status:
        book, active = self._record.book, self._runs.active
        incumbent = book.incumbent
        score = incumbent.score if incumbent else None
        return Status(
            server_pid=os.getpid(),
            server_version=__version__,
            is_serving=is_serving,
            is_looping=self._loops(),
            running=active.id if active else None,
            experiments=len(book.experiments),
            incumbent=incumbent.n if incumbent else None,
            passed=score.passed if score else None,
            trials=score.trials if score else None,
            done=self._guide.done(),
            next=await self._guide.now(),
            spent_usd=self._spending.spent_usd,
            updated_at=datetime.now(timezone.utc),
        )

    def _loops(self) -> bool:
        """Tell whether this server has begun or decided something since it wrote first."""
        book = self._record.book
        now = len(book.experiments), sum(one.decision is not None for one in book.experiments)
        if self._before is None:
            self._before = now
        self._is_looping = self._is_looping or now != self._before or self._runs.active is not None
        return self._is_looping
