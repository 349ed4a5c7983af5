"""What the page tells, read from the ledger, git and the runs' folders beside whatever server is at work.

Nothing is written and no lock is taken. A run that goes on is read from its folder, as far as its trials have ended.
What lies outside the workspace, where the hidden tasks' runs are, is not read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

import anyio
import anyio.to_thread
from pydantic import ValidationError

from autoagent_mcp import config as config_file
from autoagent_mcp.config import Config
from autoagent_mcp.errors import AutoagentError, LedgerError, UnknownNameError
from autoagent_mcp.experiment.book import KINDS as BOOK_KINDS
from autoagent_mcp.experiment.book import Book
from autoagent_mcp.experiment.changes import KINDS as CHANGE_KINDS
from autoagent_mcp.experiment.changes import Changes, sentences
from autoagent_mcp.ledger import Entry, Ledger
from autoagent_mcp.models.experiment import Tried
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.repo import Repo
from autoagent_mcp.run.run import load
from autoagent_mcp.workspace import Workspace

_BATCH = 500
_disk = anyio.CapacityLimiter(1)


class Reign(NamedTuple):
    """From when on an experiment was the incumbent."""

    incumbent: int
    newest: int
    """The newest experiment at that time."""
    since: datetime


class ReadRun(NamedTuple):
    """A run with its trials."""

    run: Run
    experiment: int


class Reading:
    """A workspace, read; made by `open_reading`."""

    def __init__(self, workspace: Workspace, ledger: Ledger, repo: Repo | None, notices: list[str]) -> None:
        self.workspace = workspace
        self.repo = repo
        """None where git cannot be read; `notices` says why."""
        self.notices = notices
        """What a person should know."""
        self.config: Config | None = None
        """None where autoagent.toml cannot be used."""
        self.book = Book()
        self.reigns: list[Reign] = []
        self._ledger = ledger
        self._changes = Changes()

    async def load(self) -> None:
        """Read the ledger from its beginning."""
        start = 0
        while entries := await self._ledger.entries(start, limit=_BATCH, kinds=(*BOOK_KINDS, *CHANGE_KINDS)):
            for entry in entries:
                self._take(entry)
            start = entries[-1].seq + 1
        self.notices += [*self._ledger.notices, *sentences(self._changes.waiting.values())]
        try:
            self.config = config_file.load(self.workspace.folder)
        except AutoagentError as error:
            self.notices.append(str(error))

    async def runs(self) -> AsyncIterator[ReadRun]:
        """Yield all runs in order of their ids, one at a time, as many of them are more than memory should hold."""
        in_folders = await anyio.to_thread.run_sync(self._in_folders, limiter=_disk)
        for run_id in sorted(in_folders | self.book.runs.keys()):
            found = await self._run(run_id, is_in_folder=run_id in in_folders)
            if found is not None:
                yield found

    async def run(self, run_id: str) -> ReadRun:
        """Return one run, as far as it has come. Raises: UnknownNameError: there is no such run."""
        in_folders = await anyio.to_thread.run_sync(self._in_folders, limiter=_disk)
        found = await self._run(run_id, is_in_folder=run_id in in_folders)
        if found is None:
            raise UnknownNameError("run", run_id, sorted(in_folders | self.book.runs.keys()))
        return found

    def _take(self, entry: Entry) -> None:
        self.book.apply(entry)
        if entry.kind in CHANGE_KINDS:
            self._changes.apply(entry)
        incumbent = self.book.incumbent
        if incumbent is not None and (not self.reigns or self.reigns[-1].incumbent != incumbent.n):
            self.reigns.append(Reign(incumbent.n, len(self.book.experiments) - 1, entry.at))

    def _in_folders(self) -> set[str]:
        return {path.parent.name for path in self.workspace.runs.glob("*/run.json")}

    def _load(self, run_id: str) -> Run | None:
        """Read a run from its folder; None where that is gone, or damaged as by a full disk."""
        try:
            return load(self.workspace, run_id)
        except (OSError, ValidationError):
            return None

    async def _run(self, run_id: str, *, is_in_folder: bool) -> ReadRun | None:
        record = self.book.runs.get(run_id)
        going = await anyio.to_thread.run_sync(self._load, run_id, limiter=_disk) if is_in_folder else None
        if going is not None and (record is None or going.state is RunState.RUNNING):
            experiment = self.book.by_tree(going.candidate)
            return ReadRun(going, experiment.n) if experiment else None
        if record is None:
            return None
        tried = Tried.model_validate_json((await self._ledger.entry(record.trials_seq)).body)
        return ReadRun(record.run.model_copy(update={"trials": tried.trials}), record.experiment)


@asynccontextmanager
async def open_reading(workspace: Workspace) -> AsyncGenerator[Reading]:
    """Read a workspace, also beside a server that works on it.

    Raises:
        LedgerError: There is no ledger yet, or it cannot be read.
    """
    if not workspace.ledger.exists():
        raise LedgerError(
            f"There is no ledger in {workspace.folder}.",
            "Nothing was measured here yet. If .autoagent was deleted, start the server: it is made anew from git.",
        )
    notices: list[str] = []
    try:
        repo = await Repo.open(workspace)
    except AutoagentError as error:
        repo = None
        notices.append(f"What the changes are cannot be shown: {error.problem}")
    ledger = await Ledger.open(workspace, to_read=True)
    try:
        reading = Reading(workspace, ledger, repo, notices)
        await reading.load()
        yield reading
    finally:
        await ledger.close()
