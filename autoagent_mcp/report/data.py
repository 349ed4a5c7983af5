"""The page's data: everything but the traces, as one JSON document.

Trials come as rows in the order of `TRIAL_COLUMNS`, since there may be tens of thousands of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import anyio.to_thread

from autoagent_mcp import __version__
from autoagent_mcp.errors import RepoError
from autoagent_mcp.experiment.book import RunRecord
from autoagent_mcp.models.experiment import Experiment
from autoagent_mcp.models.run import Run, RunKind, RunState
from autoagent_mcp.models.trial import Arm, Trial
from autoagent_mcp.report import diffs
from autoagent_mcp.report.cells import Cells
from autoagent_mcp.report.headline import headline, spent, status
from autoagent_mcp.report.intervals import pass_rate
from autoagent_mcp.report.reading import Reading

Json = dict[str, Any]

VERSION = 1
TRIAL_COLUMNS = (
    "id",
    "run",
    "task",
    "experiment",
    "arm",
    "passed",
    "counts",
    "reward",
    "cause",
    "cost_usd",
    "tokens",
    "model_calls",
    "commands",
    "duration_sec",
    "trace",
    "flags",
)
"""`run` and `task` are places in the lists of these; `experiment` is whose harness was tried; `trace` names the
file with its trace, null where that is not on disk; `flags` counts notices, cheats and a second try."""
_LEFT_OUT = {"candidate", "score", "runs", "parent"}


class PageData:
    """Takes in a reading's runs one by one, and tells at the end what the page shows."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._book = reading.book
        self._tasks: dict[str, int] = {}
        self._runs: list[Json] = []
        self._trials: list[list[Any]] = []
        self._cells = Cells()
        self._parents = {one.candidate.tree: one.n for one in self._book.experiments}
        self._past = frozenset(reign.incumbent for reign in reading.reigns)

    def add(self, run: Run, experiment: int, traces: Mapping[str, int]) -> None:
        """Take in a run.

        Args:
            run: With its trials.
            experiment: Whose run it is.
            traces: Which file has the trace of each of its trials, of those whose traces are on disk.
        """
        number = len(self._runs)
        self._runs.append(self._run(run, experiment))
        self._cells.add(run, experiment)
        for trial in run.trials:
            is_others = run.duel is not None and trial.arm is Arm.INCUMBENT
            owner = run.duel.opponent if run.duel and is_others else experiment
            task = self._tasks.setdefault(trial.task, len(self._tasks))
            self._trials.append(_trial_row(trial, number, task, owner, traces.get(trial.id)))

    async def document(self) -> Json:
        """Return all of it."""
        reading, book = self._reading, self._book
        statuses = [status(one, book, self._past) for one in book.experiments]
        config = reading.config
        is_seed_rule = config is not None and config.decision.rule == "seed"
        suite = next((run.suite for run in self._last_suites()), None)
        return {
            "version": VERSION,
            "server_version": __version__,
            "workspace": reading.workspace.folder.name,
            "written_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "model": suite.model if suite else "",
            "backend": suite.backend if suite else "",
            "budget": config.budget.model_dump() if config else {},
            "suite_notices": list(suite.notices) if suite else [],
            "excluded": [one.model_dump() for one in suite.excluded] if suite else [],
            "notices": reading.notices,
            "baseline": book.baseline.n if book.incumbent else None,
            "incumbent": book.incumbent.n if book.incumbent else None,
            "headline": headline(
                book,
                statuses,
                len(suite.tasks) if suite else 0,
                has_hidden=config is not None and config.split is not None,
                is_seed_rule=is_seed_rule,
            ),
            "reigns": [[reign.incumbent, reign.newest, reign.since.isoformat()] for reign in reading.reigns],
            "tasks": list(self._tasks),
            "experiments": [self._experiment(one, name) for one, name in zip(book.experiments, statuses, strict=True)],
            "runs": self._runs,
            "trial_columns": TRIAL_COLUMNS,
            "trials": self._trials,
            "diffs": await self._diffs(),
        }

    def _last_suites(self) -> list[Run]:
        """The suite runs, newest first."""
        runs = (record.run for record in reversed(self._book.runs.values()))
        return [run for run in runs if run.kind is not RunKind.SPOT]

    def _experiment(self, one: Experiment, state: str) -> Json:
        records = [self._book.runs[run] for run in one.runs]
        door = next((record for record in reversed(records) if record.run.kind is RunKind.SUITE), None)
        parent = self._parents.get(one.parent) if one.parent else None
        return {
            **one.model_dump(mode="json", exclude=_LEFT_OUT),
            "status": state,
            "parent": parent,
            "complexity": one.candidate.complexity,
            "commit": (one.kept_commit or one.candidate.commit)[:10],
            "score": one.score.model_dump(exclude={"tasks", "usage"}) if one.score else None,
            "interval": pass_rate(one.score.passed, one.score.trials) if one.score else None,
            "door": _door(door),
            "spent": spent([record.run for record in records]),
            "cells": self._cells.row(one, parent, self._tasks),
        }

    def _run(self, run: Run, experiment: int) -> Json:
        judgement = self._book.judged(run.id)
        return {
            **run.model_dump(mode="json", include={"id", "kind", "state", "description", "started_at", "finished_at"}),
            "experiment": experiment,
            "opponent": run.duel.opponent if run.duel else None,
            "error": run.error,
            "notices": [notice for notice in run.notices if notice not in run.suite.notices],
            "is_going_on": run.state is RunState.RUNNING,
            "planned": run.planned_trials,
            "judgement": judgement.model_dump(mode="json") if judgement else None,
            "spent": spent([run]),
        }

    async def _diffs(self) -> Json:
        """Return what each experiment changes, by number, and as "winner" what became of the baseline in all."""
        if self._reading.repo is None:
            return {}
        found: Json = {}
        for one in self._book.experiments:
            parent = self._parents.get(one.parent) if one.parent else None
            if parent is not None:
                found[str(one.n)] = await self._diff(self._book.experiments[parent], one)
        if self._book.incumbent is not None and self._book.incumbent.n != self._book.baseline.n:
            found["winner"] = await self._diff(self._book.baseline, self._book.incumbent)
        return found

    async def _diff(self, before: Experiment, now: Experiment) -> list[Json] | None:
        files = [await self._files(one) for one in (before, now)]
        if files[0] is None or files[1] is None:
            return None
        return await anyio.to_thread.run_sync(diffs.diff, files[0], files[1])

    async def _files(self, one: Experiment) -> Mapping[str, bytes] | None:
        """Return a candidate's files; None where git has lost them."""
        if self._reading.repo is None:
            return None
        try:
            return (await self._reading.repo.at(one.candidate.commit)).files
        except RepoError:
            return None


def _door(record: RunRecord | None) -> Json | None:
    """Return what an experiment's first trials of the whole suite gave; None before they have ended."""
    if record is None or not record.is_measured:
        return None
    return {"run": record.run.id, **record.score.model_dump(exclude={"tasks", "usage"})}


def _trial_row(trial: Trial, run: int, task: int, owner: int, trace: int | None) -> list[Any]:
    return [
        trial.id,
        run,
        task,
        owner,
        trial.arm.value,
        int(trial.passed),
        int(trial.counts),
        trial.reward,
        trial.failure.cause.value if trial.failure else "",
        trial.usage.cost_usd,
        trial.usage.tokens,
        trial.usage.model_calls,
        trial.commands,
        round(trial.duration_sec, 2),
        trace,
        len(trial.notices) + len(trial.cheats) + (trial.retried is not None),
    ]
