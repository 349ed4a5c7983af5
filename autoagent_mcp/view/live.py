"""What the page shows of a night that goes on, read again when something changed.

Reading a long ledger takes seconds, and a night needs the machine for itself. So nothing is read while nobody asks, and
reading takes a tenth of the time at most.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.to_thread

from autoagent_mcp.config import FILE_NAME
from autoagent_mcp.errors import AutoagentError
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.models.trial import Trial
from autoagent_mcp.report import traces
from autoagent_mcp.report.data import Diffs, PageData
from autoagent_mcp.report.reading import open_reading
from autoagent_mcp.workspace import Workspace

_REST = 9
"""How long reading rests, in times of what it took."""
_LEVEL = 3
Json = dict[str, Any]
Signs = dict[str, tuple[object, ...]]
"""By run, for those that may change, and "" for what else there is."""
_disk = anyio.CapacityLimiter(2)


class Snapshot(NamedTuple):
    """The page's data at some time."""

    version: str
    """Another one for each snapshot."""
    packed: bytes
    """Gzipped JSON; only {"waiting": why} while nothing can be read."""


class Live:
    """The data and traces of one workspace, beside whatever server is at work on it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = anyio.Lock()
        self._snapshot = Snapshot("0", b"")
        self._signs: Signs = {}
        self._rests_until = 0.0
        self._diffs: Diffs = {}
        self._ended: set[str] = set()
        """Runs that will not change any more; what was cut may go on."""
        self._numbers: defaultdict[str, dict[str, int]] = defaultdict(dict)
        """By run and trial, the number under which the page asks for a trace."""

    async def snapshot(self) -> Snapshot:
        """Return the data as they are, or as they were a moment ago."""
        async with self._lock:
            if anyio.current_time() >= self._rests_until:
                # Taken before reading: what changes meanwhile is seen the next time.
                signs = await anyio.to_thread.run_sync(self._look, limiter=_disk)
                if signs != self._signs:
                    began = anyio.current_time()
                    packed = await anyio.to_thread.run_sync(_pack, await self._read(), limiter=_disk)
                    self._snapshot = Snapshot(str(int(self._snapshot.version) + 1), packed)
                    self._signs = {run: sign for run, sign in signs.items() if run not in self._ended}
                    self._rests_until = anyio.current_time() + _REST * (anyio.current_time() - began)
            return self._snapshot

    async def trace(self, run_id: str, number: int) -> bytes | None:
        """Return the script with a trial's trace; None where the page was told of none, or it is gone."""
        trials = list(self._numbers.get(run_id, ()))
        if number >= len(trials):
            return None
        return await anyio.to_thread.run_sync(self._call, run_id, trials[number], limiter=_disk)

    async def _read(self) -> Json:
        try:
            async with open_reading(self._workspace) as reading:
                data = PageData(reading, self._diffs)
                async for run, experiment in reading.runs():
                    data.add(run, experiment, await anyio.to_thread.run_sync(self._traced, run, limiter=_disk))
                document = await data.document()
        except (AutoagentError, OSError) as error:  # nothing was measured yet, or all of it was just deleted
            self._ended = set()
            return {"waiting": str(error)}
        self._ended = {run["id"] for run in document["runs"] if run["state"] == RunState.COMPLETE.value}
        return document

    def _traced(self, run: Run) -> dict[str, int]:
        """Number the trials of a run whose traces are on disk; a number that was given stays."""
        folder, numbers = self._workspace.run(run.id), self._numbers[run.id]
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set[str]()
        return {trial.id: numbers.setdefault(trial.id, len(numbers)) for trial in run.trials if trial.id in there}

    def _call(self, run_id: str, trial_id: str) -> bytes | None:
        files = self._workspace.trial(run_id, trial_id)
        if not files.trial.is_file():
            return None
        return traces.call(run_id, Trial.model_validate_json(files.trial.read_bytes()), files)

    def _look(self) -> Signs:
        """Return what is another whenever the data are, at the cost of a few looks at the disk."""
        place = self._workspace
        files = (place.ledger, place.ledger.with_name(f"{place.ledger.name}-wal"), place.folder / FILE_NAME)
        folders = sorted(place.runs.iterdir()) if place.runs.is_dir() else []
        found: Signs = {"": (len(folders), *map(_sign, files))}
        for folder in folders:
            if folder.name not in self._ended:
                found[folder.name] = tuple(map(_sign, (folder / "run.json", *sorted(folder.glob("*/trial.json")))))
        return found


def _sign(path: Path) -> object:
    """Return what tells that a file was written; an empty one is none, as who reads a database may leave such."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (str(path), found.st_mtime_ns, found.st_size) if found.st_size else None


def _pack(document: Json) -> bytes:
    return gzip.compress(json.dumps(document, separators=(",", ":"), allow_nan=False).encode(), _LEVEL)
