"""`autoagent-mcp report`: the page with all traces, as a folder that appears whole.

<folder>/index.html                 the page with everything but the traces: it may be sent alone
<folder>/traces/<run>/<trial>.js    a trial's trace and files, loaded when it is looked at
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

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

_INDEX = "index.html"
_NEW = "new"
_OTHER = "Name another folder: --out."
_HEAD_CHARS = 10_000
_AT_ONCE = 50
"""Traces that one thread writes in a row."""
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
            data.add(run, experiment, frozenset(written))
            trials += len(run.trials)
            traced += len(written)
            traces_bytes += sum(written.values())
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


async def _write_traces(workspace: Workspace, run: Run, place: Path) -> dict[str, int]:
    """Write a run's traces as far as they are on disk; return their sizes by trial."""
    sizes: dict[str, int] = {}

    async def write(some: Sequence[Trial]) -> None:
        sizes.update(await anyio.to_thread.run_sync(_write_some, workspace, run.id, some, place, limiter=_disk))

    async with anyio.create_task_group() as group:
        for start in range(0, len(run.trials), _AT_ONCE):
            group.start_soon(write, run.trials[start : start + _AT_ONCE])
    return sizes


def _write_some(workspace: Workspace, run_id: str, trials: Sequence[Trial], place: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    (place / traces.path_of(run_id, "")).parent.mkdir(parents=True, exist_ok=True)
    for trial in trials:
        files = workspace.trial(run_id, trial.id)
        if files.folder.is_dir():
            script = traces.script(run_id, trial, files)
            sizes[trial.id] = (place / traces.path_of(run_id, trial.id)).write_bytes(script)
    return sizes


def _scratch(folder: Path) -> tuple[Path, Path]:
    """Return the folder's whole path, and beside it one to write to, if what is there may be replaced."""
    folder = folder.resolve()
    if not _is_free(folder):
        raise ReportError(f"{folder} is there already and is no page of ours.", _OTHER)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        (scratch / _NEW).mkdir()
    except OSError as error:
        raise _refused(folder, error) from error
    return folder, scratch


def _is_free(folder: Path) -> bool:
    """Tell whether there is nothing at this place, an empty folder, or a page of ours."""
    if not folder.exists():
        return True
    if not folder.is_dir() or not any(folder.iterdir()):
        return folder.is_dir()
    index = folder / _INDEX
    return index.is_file() and GENERATOR in index.read_text(encoding="utf-8", errors="replace")[:_HEAD_CHARS]


def _replace(folder: Path, scratch: Path) -> None:
    if folder.exists():
        folder.rename(scratch / "old")
    (scratch / _NEW).rename(folder)


def _refused(folder: Path, error: OSError) -> ReportError:
    return ReportError(f"The page cannot be written to {folder}: {error}.", _OTHER)
