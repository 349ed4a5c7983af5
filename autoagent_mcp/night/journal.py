"""The night's own record: `night.json`, and a line on stdout for whatever happens."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from autoagent_mcp._io import write_whole
from autoagent_mcp.models.night import Night, Session
from autoagent_mcp.night.watch import now


class Journal:
    """Keeps the record of one night."""

    def __init__(self, folder: Path, night: Night) -> None:
        self.folder = folder
        self.night = night
        self._write()

    def begin(self, began: Session) -> None:
        """Enter a start of the client."""
        self._update(sessions=(*self.night.sessions, began))

    def end_session(self, ended: Session) -> None:
        """Enter what became of the last start."""
        self._update(sessions=(*self.night.sessions[:-1], ended))

    def end(self, why: str) -> None:
        """Enter why the night ended."""
        self._update(why=why, ended_at=now())

    def say(self, text: str) -> None:
        """Tell people, where there is still somebody to tell: a terminal may be closed, a disk full."""
        with suppress(OSError):
            sys.stdout.write(f"{now().astimezone():%H:%M:%S}  {text}\n")
            sys.stdout.flush()

    def _update(self, **changes: Any) -> None:  # noqa: ANN401 - fields of a night
        self.night = self.night.model_copy(update=changes)
        self._write()

    def _write(self) -> None:
        """A night is not given up for its record; and a client may have removed the folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / "night.json", self.night.model_dump_json(indent=1), is_durable=False)
        except OSError as error:
            self.say(f"The night's record cannot be written: {error.strerror}.")
