"""Write a run as a Harbor job: the folder that harbor 0.25 would have left, for its viewer and its other readers.

<folder>/
  config.json  lock.json  result.json  job.log
  <task[:32]>__<7 digits>/
    config.json  lock.json  result.json  trial.log  exception.txt
    agent/       trajectory.json (ATIF)  harness.log  model_calls.jsonl  execs.jsonl
    verifier/    test-stdout.txt  reward.*  judge_calls.jsonl
    artifacts/   manifest.json
    steps/<name>/  agent/  verifier/  artifacts/       where the task has several

Ids and names follow from the run, so that a second export to the same place gives the same bytes. A lock.json says what
content a task had; there is none where tasks or settings are not what they were when the run began.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from autoagent_mcp import config as config_file
from autoagent_mcp import task as task_files
from autoagent_mcp.config import Config
from autoagent_mcp.errors import ExportError, UnknownNameError
from autoagent_mcp.export.documents import TrialResult
from autoagent_mcp.export.files import copy_files
from autoagent_mcp.export.results import JobDocuments
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import FailureCause, Trial, TrialFiles
from autoagent_mcp.run.run import load
from autoagent_mcp.run.suite import fingerprint
from autoagent_mcp.workspace import Workspace

_NAMED = 3
_TRACEBACK_BYTES = 8_000


def export_run(workspace: Workspace, run_id: str, folder: Path) -> None:
    """Write a run that has ended as a Harbor job; `folder` appears whole or not at all.

    Args:
        workspace: Whose run it is.
        run_id: Its id: "0001".
        folder: The job's folder, which must not exist; its name becomes the job's.

    Raises:
        UnknownNameError: There is no such run.
        ExportError: The run goes on, its traces are gone, or the folder exists or cannot be written.
        ConfigError: autoagent.toml cannot be used.
    """
    folder = folder.resolve()
    settings = config_file.load(workspace.folder)
    run = _read(workspace, run_id)
    if folder.exists():
        raise ExportError(f"{folder} exists already.", "Choose a folder that does not exist: nothing is overwritten.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            job = _Job(workspace, run, folder, settings)
            job.write(Path(scratch, "job"))
            Path(scratch, "job").rename(folder)
    except OSError as error:
        raise ExportError(f"The job cannot be written to {folder}: {error}.", "Choose another folder.") from error


def _read(workspace: Workspace, run_id: str) -> Run:
    known = sorted(path.parent.name for path in workspace.runs.glob("*/run.json"))
    run = load(workspace, run_id) if run_id in known else None
    if run is None:
        raise UnknownNameError("run", run_id, known)
    if run.state is RunState.RUNNING:
        raise ExportError(
            f"Run {run_id} still goes on.", "Wait for its end; if its server was killed, start the server once."
        )
    lost = [one.id for one in run.trials if not workspace.trial(run_id, one.id).trajectory.is_file()]
    if lost:
        named = ", ".join(lost[:_NAMED])
        raise ExportError(
            f"{len(lost)} of the {len(run.trials)} trials of run {run_id} have no trace any more ({named}).",
            "Measure the candidate again, or put .autoagent/runs back from a backup.",
        )
    return run


class _Job:
    def __init__(self, workspace: Workspace, run: Run, folder: Path, settings: Config) -> None:
        tasks_dir = (workspace.folder / settings.tasks_dir).resolve()
        found = {task.name: task for task in task_files.load_all(tasks_dir)[0]} if tasks_dir.is_dir() else {}
        self._tasks: dict[str, Task] = {name: found[name] for name in run.suite.tasks if name in found}
        now = fingerprint(
            tuple(self._tasks.values()),
            attempts=run.suite.attempts,
            config=settings,
            backend=run.suite.backend,
            kind=run.kind,
        )
        self._workspace = workspace
        self._run = run
        self._are_unchanged = now == run.suite.fingerprint
        self._documents = JobDocuments(run, folder, tasks_dir, self._tasks, are_unchanged=self._are_unchanged)

    def write(self, place: Path) -> None:
        """Write the job's folder."""
        place.mkdir()
        documents = self._documents
        results = [self._write_trial(trial, place / documents.trial_name(trial)) for trial in self._run.trials]
        _write_document(place / "config.json", documents.config())
        _write_document(place / "lock.json", documents.lock())
        _write_document(place / "result.json", documents.result(results))
        _write_lines(place / "job.log", self._log())

    def _write_trial(self, trial: Trial, place: Path) -> TrialResult:
        files = self._workspace.trial(self._run.id, trial.id)
        result = self._documents.trial_result(trial, _traceback(trial, files))
        copy_files(trial, files, place, self._tasks.get(trial.task), self._run.suite.model.partition("/")[2])
        _write_document(place / "config.json", self._documents.trial_config(trial))
        _write_document(place / "lock.json", self._documents.trial_lock(trial))
        _write_document(place / "result.json", result)
        _write_lines(place / "trial.log", _trial_log(trial))
        if failed := result.exception_info:
            told = f"{failed.exception_type}: {failed.exception_message}"
            _write_lines(place / "exception.txt", [failed.exception_traceback, told])
        return result

    def _log(self) -> list[str]:
        run = self._run
        changed = "Tasks or settings are not what they were when this run began: lock.json is left out."
        return [
            f"Run {run.id} of autoagent-mcp ({run.kind.value}, {run.state.value}): {run.description}",
            f"Candidate {run.candidate}, backend {run.suite.backend}, model {run.suite.model}.",
            *(f"Left out: {one.task}: {'; '.join(one.reasons)}" for one in run.suite.excluded),
            *run.notices,
            run.error,
            "" if self._are_unchanged else changed,
        ]


def _trial_log(trial: Trial) -> list[str]:
    again = f"Tried again: the first attempt ended with {trial.retried.cause.value}." if trial.retried else ""
    return [f"Trial {trial.id} of autoagent-mcp.", again, *trial.notices]


def _traceback(trial: Trial, files: TrialFiles) -> str:
    """Return the end of what a crashed harness printed."""
    if trial.failure is None or trial.failure.cause is not FailureCause.HARNESS_CRASHED:
        return ""
    logs = [files.step(step.name).harness_log for step in trial.steps] or [files.harness_log]
    if not logs[-1].is_file():
        return ""
    with logs[-1].open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TRACEBACK_BYTES))
        return file.read().decode(errors="replace")


def _write_document(path: Path, document: Frozen | None) -> None:
    if document is not None:
        path.write_text(document.model_dump_json(indent=4, exclude_none=True), encoding="utf-8")


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines if line), encoding="utf-8")
