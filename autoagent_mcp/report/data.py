"""The page's data: everything but the traces, as one JSON document.

Trials come as rows in the order of `TRIAL_COLUMNS`, since there may be tens of thousands of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio.to_thread

from autoagent_mcp.errors import RepoError
from autoagent_mcp.models.experiment import Experiment
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.models.trial import Trial
from autoagent_mcp.report import diffs
from autoagent_mcp.report.cells import Cells, tried
from autoagent_mcp.report.headline import spent
from autoagent_mcp.report.overview import facts, overview, parent_of, statuses
from autoagent_mcp.report.reading import Reading

Json = dict[str, Any]
Diffs = dict[tuple[str, str], list[Json]]

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


class PageData:
    """Takes in a reading's runs one by one, and tells at the end what the page shows.

    Args:
        reading: The workspace.
        known: Diffs that were made before, by the trees of what they compare; new ones are added.
    """

    def __init__(self, reading: Reading, known: Diffs | None = None) -> None:
        self._reading = reading
        self._known = known if known is not None else {}
        self._book = reading.book
        self._tasks: dict[str, int] = {}
        self._runs: list[Json] = []
        self._trials: list[list[Any]] = []
        self._cells = Cells()

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
            task = self._tasks.setdefault(trial.task, len(self._tasks))
            self._trials.append(_trial_row(trial, number, task, tried(run, experiment, trial), traces.get(trial.id)))

    async def document(self) -> Json:
        """Return all of it."""
        reading, book = self._reading, self._book
        told = zip(book.experiments, statuses(reading), strict=True)
        return {
            **overview(reading),
            "version": VERSION,
            "reigns": [[reign.incumbent, reign.newest, reign.since.isoformat()] for reign in reading.reigns],
            "tasks": list(self._tasks),
            "experiments": [self._experiment(one, state) for one, state in told],
            "runs": self._runs,
            "trial_columns": TRIAL_COLUMNS,
            "trials": self._trials,
            "diffs": await self._diffs(),
        }

    def _experiment(self, one: Experiment, state: str) -> Json:
        parent = parent_of(one, self._book)
        return {**facts(one, state, self._book), "cells": self._cells.row(one, parent, self._tasks)}

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
            parent = parent_of(one, self._book)
            if parent is not None:
                found[str(one.n)] = await self._diff(self._book.experiments[parent], one)
        if self._book.incumbent is not None and self._book.incumbent.n != self._book.baseline.n:
            found["winner"] = await self._diff(self._book.baseline, self._book.incumbent)
        return found

    async def _diff(self, before: Experiment, now: Experiment) -> list[Json] | None:
        trees = before.candidate.tree, now.candidate.tree
        if trees not in self._known:
            files = [await self._files(one) for one in (before, now)]
            if files[0] is None or files[1] is None:
                return None
            self._known[trees] = await anyio.to_thread.run_sync(diffs.diff, files[0], files[1])
        return self._known[trees]

    async def _files(self, one: Experiment) -> Mapping[str, bytes] | None:
        """Return a candidate's files; None where git has lost them."""
        if self._reading.repo is None:
            return None
        try:
            return (await self._reading.repo.at(one.candidate.commit)).files
        except RepoError:
            return None


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
