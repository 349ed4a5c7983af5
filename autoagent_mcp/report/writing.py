"""`autoagent-mcp report`: the page with all traces, as a folder that appears whole.

<folder>/index.html                 the page with everything but the traces: it may be sent alone
<folder>/traces/<run>/<n>.js        traces and files of the run's trials from the nth on, loaded when one is looked at
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.to_thread

from autoagent_mcp.errors import ReportError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.run import Run
from autoagent_mcp.models.trial import Trial
from autoagent_mcp.report import traces
from autoagent_mcp.report.data import PageData
from autoagent_mcp.report.page import GENERATOR, page
from autoagent_mcp.report.reading import open_reading
from autoagent_mcp.workspace import Workspace

_INDEX, _TRACES = "index.html", "traces"
_NEW = "new"
_OTHER = "Name another folder: --out."
_HEAD_CHARS = 10_000
_AT_ONCE = 50
"""Traces that one thread writes in a row, to one file unless they are long: few files are soon copied and packed."""
_FILE_BYTES = 500_000
Json = dict[str, Any]
_disk = anyio.CapacityLimiter(2)


class Report(Frozen):
    """What was written."""

    index: Path
    experiments: int
    trials: int
    traces: int
    """Trials whose traces are on disk."""
    page_bytes: int
    traces_bytes: int


class _Written(NamedTuple):
    """Traces that were written."""

    traces: dict[str, int]
    """In which file each trial's is."""
    bytes: int


async def write_report(workspace: Workspace, folder: Path | None = None) -> Report:
    """Write the page of a workspace, also beside a server that works on it; a page that was there is replaced.

    Args:
        workspace: Whose.
        folder: The page's folder; `.autoagent/report` where not given.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
        ReportError: The folder holds something else, or cannot be written.
    """
    folder, scratch = await anyio.to_thread.run_sync(_scratch, folder or workspace.state / "report", limiter=_disk)
    try:
        report = await _write(workspace, scratch, folder)
        await anyio.to_thread.run_sync(_replace, folder, scratch, limiter=_disk)
    except OSError as error:
        raise _refused(folder, error) from error
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(partial(shutil.rmtree, scratch, ignore_errors=True), limiter=_disk)
    return report


async def _write(workspace: Workspace, scratch: Path, folder: Path) -> Report:
    place = scratch / _NEW
    traced = trials = traces_bytes = 0
    async with open_reading(workspace) as reading:
        data = PageData(reading)
        async for run, experiment in reading.runs():
            written = await _write_traces(workspace, run, place)
            data.add(run, experiment, written.traces)
            trials += len(run.trials)
            traced += len(written.traces)
            traces_bytes += written.bytes
        document = await data.document()
    page_bytes = await anyio.to_thread.run_sync(_write_page, place, workspace.folder.name, document, limiter=_disk)
    return Report(
        index=folder / _INDEX,
        experiments=len(document["experiments"]),
        trials=trials,
        traces=traced,
        page_bytes=page_bytes,
        traces_bytes=traces_bytes,
    )


def _write_page(place: Path, title: str, document: Json) -> int:
    return (place / _INDEX).write_bytes(page(title, document).encode())


async def _write_traces(workspace: Workspace, run: Run, place: Path) -> _Written:
    """Write a run's traces as far as they are on disk."""
    parts: list[_Written] = []

    async def write(start: int) -> None:
        trials = run.trials[start : start + _AT_ONCE]
        parts.append(
            await anyio.to_thread.run_sync(_write_some, workspace, run.id, trials, start, place, limiter=_disk)
        )

    async with anyio.create_task_group() as group:
        for start in range(0, len(run.trials), _AT_ONCE):
            group.start_soon(write, start)
    traces = {trial: number for part in parts for trial, number in part.traces.items()}
    return _Written(traces, sum(part.bytes for part in parts))


def _write_some(workspace: Workspace, run_id: str, trials: Sequence[Trial], start: int, place: Path) -> _Written:
    """Write trials, of which the first is number `start` of the run, to as many files as their size asks for."""
    found: dict[str, int] = {}
    files: dict[int, list[bytes]] = {}
    for number, trial in enumerate(trials, start):
        lies_at = workspace.trial(run_id, trial.id)
        if lies_at.folder.is_dir():
            if not files or sum(map(len, files[start])) > _FILE_BYTES:
                start = number
            files.setdefault(start, []).append(traces.call(run_id, trial, lies_at))
            found[trial.id] = start
    for number, calls in files.items():
        path = place / traces.path_of(run_id, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(calls))
    return _Written(found, sum(len(call) for calls in files.values() for call in calls))


def _scratch(folder: Path) -> tuple[Path, Path]:
    """Return the folder's whole path, and beside it one to write to, if what is there may be replaced."""
    try:
        folder = folder.resolve()
        if not _is_free(folder):
            raise ReportError(f"{folder} is there already and is no page of ours, or not only that.", _OTHER)
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        (scratch / _NEW).mkdir()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, as pathlib tells them
        raise _refused(folder, error) from error
    return folder, scratch


def _is_free(folder: Path) -> bool:
    """Tell whether there is nothing at this place, an empty folder, or a page of ours with nothing beside it."""
    if not folder.exists():
        return True
    if not folder.is_dir() or not any(folder.iterdir()):
        return folder.is_dir()
    if any(path.name not in {_INDEX, _TRACES} for path in folder.iterdir()):
        return False
    index = folder / _INDEX
    return index.is_file() and GENERATOR in index.read_text(encoding="utf-8", errors="replace")[:_HEAD_CHARS]


def _replace(folder: Path, scratch: Path) -> None:
    if folder.exists():
        folder.rename(scratch / "old")
    (scratch / _NEW).rename(folder)


def _refused(folder: Path, error: OSError | RuntimeError) -> ReportError:
    return ReportError(f"The page cannot be written to {folder}: {error}.", _OTHER)
