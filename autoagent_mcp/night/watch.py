"""When a night is over: seen from the clock, from signals, and from what the client's server writes for others."""

from __future__ import annotations

import signal
from datetime import datetime, timezone

import anyio
from pydantic import ValidationError

from autoagent_mcp._tasks import ending_signals
from autoagent_mcp.models.status import Status
from autoagent_mcp.workspace import Workspace


class Watch:
    """Looks at the time, at the server's status and for signals."""

    def __init__(self, workspace: Workspace, until: datetime | None) -> None:
        self._workspace = workspace
        self._until = until
        self._began_at = now()
        self.signal: signal.Signals | None = None
        """The signal that ended the night."""

    async def heed_signals(self) -> None:
        """Note the first signal that asks this process to end."""
        with anyio.open_signal_receiver(*ending_signals()) as signals:
            async for number in signals:
                self.signal = self.signal or number

    def over(self) -> str:
        """Say why no client is started any more; empty while one is."""
        if self.signal is not None:
            return f"{self.signal.name} came."
        if self._until is not None and now() >= self._until:
            return "The hour has come."
        return self.done()

    def done(self) -> str:
        """Say why the work is over: by a person's word, or as a server of this night wrote."""
        if self._workspace.stop.exists():
            return "A person said stop."
        status = self.status(since=self._began_at)
        return status.done if status else ""

    def status(self, since: datetime | None = None) -> Status | None:
        """Return what a server wrote last; None where there is nothing to read, or nothing since then."""
        try:
            status = Status.model_validate_json(self._workspace.status.read_bytes())
        except (OSError, ValidationError):
            return None
        return status if since is None or status.updated_at >= since else None

    def has_trial(self, run: str, since: datetime) -> bool:
        """Tell whether a trial of the run was written since then."""
        trials = self._workspace.run(run).glob("*/trial.json") if run.isalnum() else ()  # a status may be forged
        return any(trial.stat().st_mtime >= since.timestamp() for trial in trials)


def now() -> datetime:
    """Return the wall clock's time: a night ends by it, also on a machine that slept meanwhile."""
    return datetime.now(timezone.utc)
