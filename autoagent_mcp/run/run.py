"""Measure one candidate: fan its trials out, let none disturb another, fan them in.

While a run goes on its folder is the truth: run.json says what is measured, each trial.json what a trial gave. A run
whose folder already holds trials that count goes on where it stopped.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import anyio

from autoagent_mcp._io import write_whole
from autoagent_mcp.config import Config
from autoagent_mcp.errors import AutoagentError, HarnessError
from autoagent_mcp.gateway.app import Gateway
from autoagent_mcp.harness import process
from autoagent_mcp.models.run import Excluded, Progress, Run, RunKind, RunState, Suite
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import RULES, Failure, FailureCause, Trial, Usage
from autoagent_mcp.run import judge, tampering, task_env
from autoagent_mcp.run.bench import Bench
from autoagent_mcp.run.solver import HarnessSolver, Nop, Oracle, Solver
from autoagent_mcp.run.trial import Plan, attempt, broken, trial_id
from autoagent_mcp.run.trial import interrupt as interrupt_trial
from autoagent_mcp.sandbox.base import Backend
from autoagent_mcp.workspace import Workspace

FAILED_SUFFIX = ".failed"
_NAMED = 2
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_disk = anyio.CapacityLimiter(8)
_log = logging.getLogger(__name__)

Report = Callable[[Progress], None]
"""Called after each trial, and once before the first."""


@dataclass(frozen=True)
class RunRequest:
    """What to measure."""

    id: str
    kind: RunKind
    description: str
    candidate: str
    """The candidate's tree hash, or "oracle" or "nop"."""
    files: Mapping[str, bytes]
    """The harness, by path relative to the workspace; empty for oracle and nop."""
    tasks: tuple[Task, ...]
    suite: Suite
    notices: tuple[str, ...] = field(default=())


def build_suite(
    tasks: Sequence[Task],
    excluded: Sequence[Excluded],
    *,
    attempts: int,
    config: Config,
    backend: Backend,
    kind: RunKind = RunKind.SUITE,
) -> tuple[tuple[Task, ...], Suite]:
    """Choose the tasks that this backend can run and name the others, each with its reasons."""
    refusals = {task.name: _refusals(task, config, backend) for task in tasks}
    able = tuple(task for task in tasks if not refusals[task.name])
    out = [*excluded, *(Excluded(task=name, reasons=why) for name, why in refusals.items() if why)]
    return able, Suite(
        tasks=tuple(task.name for task in able),
        attempts=attempts,
        fingerprint=fingerprint(able, attempts=attempts, config=config, backend=backend.name, kind=kind),
        backend=backend.name,
        model=f"{config.model.provider}/{config.model.name}",
        excluded=tuple(sorted(out, key=lambda one: one.task)),
        notices=_notices(able, backend),
    )


def fingerprint(tasks: Sequence[Task], *, attempts: int, config: Config, backend: str, kind: RunKind) -> str:
    """Hash all that makes two runs comparable.

    That is the tasks' content, the attempts, the models with their pins, the backend, the limits and what counts as a
    pass; and the kind, since a spot check of all tasks is none the less a spot check.
    """
    same = {
        "tasks": {task.name: task.digest for task in tasks},
        "kind": kind.value,
        "attempts": attempts,
        "backend": backend,
        "config": config.model_dump(mode="json", include={"model", "judge", "trial", "sandbox", "harness", "decision"}),
    }
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def _refusals(task: Task, config: Config, backend: Backend) -> tuple[str, ...]:
    own = (*task_env.complaints(task, config), *judge.complaints(task, config.judge))
    return (*backend.refusals(task), *own)


def _notices(tasks: Sequence[Task], backend: Backend) -> tuple[str, ...]:
    """Name each oddity once, with the tasks that have it."""
    having: defaultdict[str, list[str]] = defaultdict(list)
    for task in tasks:
        for notice in (*task.notices, *backend.notices(task)):
            having[notice].append(task.name)
    return tuple(f"{_some(names)}: {notice}" for notice, names in sorted(having.items()))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


async def measure(request: RunRequest, bench: Bench, report: Report) -> Run:
    """Try each task as often as the suite says and return the run; its folder holds all that is returned.

    A trial that measured nothing is tried once more, its first folder kept beside it with the suffix `.failed`. When
    cancelled, the trials that ended by then stay, and run.json says "cancelled". A full disk ends the run as failed.

    Raises:
        OSError: Not even run.json can be written.
    """
    run = _Run(request, bench, report)
    try:
        return await run.go()
    except AutoagentError as error:
        return await run.end(RunState.FAILED, str(error), is_harness_broken=isinstance(error, HarnessError))
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await run.end(RunState.CANCELLED)
        raise


def load(workspace: Workspace, run_id: str) -> Run | None:
    """Read a run from its folder; None where there is none. While it goes on, the trials are those ended so far."""
    folder = workspace.run(run_id)
    path = folder / "run.json"
    if not path.exists():
        return None
    run = Run.model_validate_json(path.read_bytes())
    return run.model_copy(update={"trials": tuple(_finished(folder).values())})


class _Run:
    """A run while it goes on."""

    def __init__(self, request: RunRequest, bench: Bench, report: Report) -> None:
        self._request = request
        self._bench = bench
        self._report = report
        self._folder = bench.workspace.run(request.id)
        self._trials: dict[str, Trial] = {}
        self._disk_error = ""
        self._gateway: Gateway | None = None
        self._notices = list(request.notices)
        self._started_at = datetime.now(timezone.utc)

    async def go(self) -> Run:
        """Run all trials that are not there yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._trials = {name: trial for name, trial in _finished(self._folder).items() if trial.counts}
        await self._write(RunState.RUNNING)
        self._tell()
        backend = await self._bench.ready_backend()
        if judge.is_asked_by(self._request.tasks):
            self._gateway = await self._bench.gateway()
        async with backend.in_use(), self._solver(backend) as solver, anyio.create_task_group() as group:
            slots = anyio.CapacityLimiter(self._bench.config.concurrency)
            for number in range(1, self._request.suite.attempts + 1):
                for task in self._request.tasks:
                    if trial_id(task.name, number) not in self._trials:
                        group.start_soon(self._try, task, number, solver, slots, group.cancel_scope)
        if self._disk_error:
            return await self.end(RunState.FAILED, self._disk_error)
        return await self.end(RunState.COMPLETE)

    async def end(self, state: RunState, error: str = "", *, is_harness_broken: bool = False) -> Run:
        """Write run.json for the last time."""
        return await self._write(state, error, is_harness_broken=is_harness_broken)

    @asynccontextmanager
    async def _solver(self, backend: Backend) -> AsyncGenerator[Solver]:
        simple: dict[str, Solver] = {"oracle": Oracle(), "nop": Nop()}
        if self._request.candidate in simple:
            yield simple[self._request.candidate]
            return
        gateway = await self._bench.gateway()
        name = f"{self._request.id}-harness"
        where = self._bench.config.harness.where
        async with process.start(
            backend, self._request.files, name=name, gateway_port=gateway.port, where=where
        ) as harness:
            self._notices.extend(harness.notices)
            yield HarnessSolver(harness, gateway, self._bench.config.trial)

    async def _try(
        self, task: Task, number: int, solver: Solver, slots: anyio.CapacityLimiter, run_scope: anyio.CancelScope
    ) -> None:
        plan = Plan(
            run=self._request.id,
            task=task,
            attempt=number,
            files=self._bench.workspace.trial(self._request.id, trial_id(task.name, number)),
            model=self._bench.config.model.name,
        )
        async with slots:
            if plan.files.folder.exists():
                _set_aside(plan.files.folder)
            try:
                trial = await self._attempt(plan, solver)
            except Exception as error:  # noqa: BLE001 - the fan-in: one bad trial never ends another
                if isinstance(error, OSError) and error.errno in _DISK_FULL:
                    self._disk_error = f"Trial {plan.id} could not be written: {error}. Make room on the disk."
                    run_scope.cancel()
                    return
                _log.exception("Trial %s of run %s", plan.id, plan.run)
                trial = broken(plan, Failure(cause=FailureCause.INTERNAL_ERROR, detail="See .autoagent/server.log."))
        self._trials[trial.id] = trial
        self._tell()

    async def _attempt(self, plan: Plan, solver: Solver) -> Trial:
        trial = await self._attempt_once(plan, solver)
        if trial.failure is None or not RULES[trial.failure.cause].is_retried:
            return trial
        _set_aside(plan.files.folder)
        await self._bench.backend.ready_again()
        again = plan.model_copy(update={"retried": trial.failure})
        return await self._attempt_once(again, solver)

    async def _attempt_once(self, plan: Plan, solver: Solver) -> Trial:
        config = self._bench.config
        return await attempt(plan, solver, self._bench.backend, config, judge.Judge(self._gateway, config.judge))

    def _tell(self) -> None:
        trials = self._trials.values()
        self._report(
            Progress(
                run=self._request.id,
                done=len(trials),
                total=len(self._request.tasks) * self._request.suite.attempts,
                passed=sum(trial.passed for trial in trials),
                cost_usd=sum((trial.usage for trial in trials), Usage()).cost_usd,
            )
        )

    def _all_notices(self) -> tuple[str, ...]:
        tampered = tampering.run_notice(self._trials.values())
        return tuple(dict.fromkeys((*self._notices, *tampered, *self._request.suite.notices)))

    async def _write(self, state: RunState, error: str = "", *, is_harness_broken: bool = False) -> Run:
        run = Run(
            id=self._request.id,
            kind=self._request.kind,
            description=self._request.description,
            candidate=self._request.candidate,
            suite=self._request.suite,
            state=state,
            started_at=self._started_at,
            finished_at=None if state is RunState.RUNNING else datetime.now(timezone.utc),
            trials=tuple(self._trials[name] for name in sorted(self._trials)),
            error=error,
            is_harness_broken=is_harness_broken,
            notices=self._all_notices(),
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        head = run.model_dump_json(indent=1, exclude={"trials"})
        await anyio.to_thread.run_sync(write_whole, self._folder / "run.json", head, limiter=_disk)
        return run


def interrupt(workspace: Workspace, run_id: str, tasks: Mapping[str, Task]) -> Run | None:
    """Mark a run that a killed server left as interrupted, and finish the traces of the trials that were under way."""
    run = load(workspace, run_id)
    if run is None or run.state is not RunState.RUNNING:
        return run
    for folder in sorted(workspace.run(run_id).glob("*__*/")):
        name, _, number = folder.name.rpartition("__")
        if (folder / "trial.json").exists() or name not in tasks or not number.isdigit():
            continue
        files = workspace.trial(run_id, folder.name)
        interrupt_trial(Plan(run=run_id, task=tasks[name], attempt=int(number), files=files, model=run.suite.model))
    ended = run.model_copy(update={"state": RunState.INTERRUPTED, "finished_at": datetime.now(timezone.utc)})
    write_whole(workspace.run(run_id) / "run.json", ended.model_dump_json(indent=1, exclude={"trials"}))
    return load(workspace, run_id)


def _finished(folder: Path) -> dict[str, Trial]:
    found = sorted(folder.glob("*/trial.json"))
    trials = [Trial.model_validate_json(path.read_bytes()) for path in found if path.parent.suffix != FAILED_SUFFIX]
    return {trial.id: trial for trial in trials}


def _set_aside(folder: Path) -> None:
    number = 1
    while (aside := folder.with_name(f"{folder.name}{'' if number == 1 else f'.{number}'}{FAILED_SUFFIX}")).exists():
        number += 1
    folder.rename(aside)
