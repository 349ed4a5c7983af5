"""The files of a trial, laid out as Harbor does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from autoagent_mcp import trace
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Trial, TrialFiles

_MANIFEST = "manifest.json"


def copy_files(trial: Trial, files: TrialFiles, place: Path, task: Task | None, model: str) -> None:
    """Copy a trial's records, outputs and artifacts to `place`, each step's to its own folder there.

    The trace of the whole trial is agent/trajectory.json; where there are several steps, each has its own part too.

    Raises:
        OSError: A file cannot be read or written.
    """
    agent = place / "agent"
    agent.mkdir(parents=True)
    _copy(files.trajectory, agent / files.trajectory.name)
    if not trial.steps:
        _copy(files.model_calls, agent / files.model_calls.name)
        _copy(files.execs, agent / files.execs.name)
        _copy_outputs(files, place)
    instructions = {step.name: step.instruction for step in task.steps} if task else {}
    for step in trial.steps:
        own = place / "steps" / step.name
        _copy_outputs(files.step(step.name), own)
        records = TrialFiles(folder=own / "agent")
        _split_records(files, step.name, records)
        instruction = {step.name: instructions.get(step.name, "")}
        built = trace.build(records, task=trial.task, instructions=instruction, model=model)
        built |= {"session_id": trial.id, "trajectory_id": f"{trial.id}/{step.name}"}
        records.trajectory.write_text(json.dumps(built, ensure_ascii=False), encoding="utf-8")


def _copy_outputs(files: TrialFiles, place: Path) -> None:
    agent, verifier, artifacts = (place / name for name in ("agent", "verifier", "artifacts"))
    for folder in (agent, verifier, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    _copy(files.harness_log, agent / files.harness_log.name)
    _copy(files.verifier, verifier)
    _copy(files.judge_calls, verifier / files.judge_calls.name)
    _copy(files.artifacts, artifacts)
    if not (artifacts / _MANIFEST).exists():
        (artifacts / _MANIFEST).write_text("[]", encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder's content, where it is there; a link stays a link."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    elif source.exists():
        shutil.copyfile(source, target)


def _split_records(files: TrialFiles, step: str, target: TrialFiles) -> None:
    """Take a step's lines out of the trial's records."""
    execs = (line for line, value in _lines(files.execs) if value.get("step", "") == step)
    target.execs.write_text("".join(execs), encoding="utf-8")
    target.model_calls.write_text("".join(_calls_of(files.model_calls, step)), encoding="utf-8")


def _calls_of(path: Path, step: str) -> Iterator[str]:
    """A request says which step it is of, a response only which request it answers."""
    asked: set[object] = set()
    for line, value in _lines(path):
        if value.get("step") == step:
            asked.add(value.get("call"))
        if value.get("call") in asked:
            yield line


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The readable lines of a record; a killed server leaves the last one cut in half."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield line, cast("dict[str, Any]", value)
