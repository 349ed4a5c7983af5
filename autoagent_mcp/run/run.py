"""Measure one candidate: fan its trials out, let none disturb another, fan them in.

While a run goes on its folder is the truth: run.json says what is measured, each trial.json what a trial gave. A run
whose folder already holds trials that count goes on where it stopped.
"""

from __future__ import annotations

import errno
import functools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import anyio

from autoagent_mcp._io import clear_unfinished, write_whole
from autoagent_mcp.errors import AutoagentError, HarnessError
from autoagent_mcp.gateway.app import Gateway
from autoagent_mcp.gateway.meter import Amount, Meter
from autoagent_mcp.harness import process
from autoagent_mcp.models.run import Duel, Prediction, Progress, Run, RunKind, RunState, Suite
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import RULES, Arm, Failure, FailureCause, Trial, TrialFiles, Usage
from autoagent_mcp.run import judge, tampering
from autoagent_mcp.run.allowance import Allowance
from autoagent_mcp.run.bench import Bench
from autoagent_mcp.run.cheating import cheats_of
from autoagent_mcp.run.purse import Purse, most_of_trial, unpriced
from autoagent_mcp.run.solver import HarnessSolver, Nop, Oracle, Solver
from autoagent_mcp.run.spent import spent_in
from autoagent_mcp.run.trial import Plan, attempt, broken, place_of, trial_id
from autoagent_mcp.run.trial import interrupt as interrupt_trial
from autoagent_mcp.sandbox.base import Backend
from autoagent_mcp.workspace import Workspace

FAILED_SUFFIX = ".failed"
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_disk = anyio.CapacityLimiter(8)
_log = logging.getLogger(__name__)

Report = Callable[[Progress], None]
"""Called after each trial, and once before the first."""


class Slot(NamedTuple):
    """A trial to be run."""

    task: str
    attempt: int
    arm: Arm = Arm.CANDIDATE

    @property
    def id(self) -> str:
        """The trial's id."""
        return trial_id(self.task, self.attempt, self.arm)


SolverOf = Callable[[Meter], Solver]
"""Makes the solver of one trial, whose model calls are counted there."""

Schedule = Callable[[Mapping[str, Trial]], Sequence[Slot]]
"""Says which trials are to be run next, given those that ended, by id; none where the run is complete. Pure."""


@dataclass(frozen=True)
class RunRequest:
    """What to measure."""

    id: str
    kind: RunKind
    description: str
    candidate: str
    """The candidate's tree hash, or "oracle" or "nop"."""
    harnesses: Mapping[Arm, Mapping[str, bytes]]
    """The harness of each arm, its files by path relative to the workspace; none for oracle and nop."""
    tasks: tuple[Task, ...]
    suite: Suite
    notices: tuple[str, ...] = field(default=())
    duel: Duel | None = None
    prediction: Prediction | None = None
    schedule: Schedule | None = None
    """Where it is left out: each task as often as the suite says, at once."""
    allowance: Allowance = field(default=Allowance())
    """What the workspace's budget leaves it."""

    def started(self) -> Run:
        """Return the run before its first trial."""
        return Run(
            id=self.id,
            kind=self.kind,
            description=self.description,
            candidate=self.candidate,
            suite=self.suite,
            state=RunState.RUNNING,
            started_at=datetime.now(timezone.utc),
            notices=self.notices,
            duel=self.duel,
            prediction=self.prediction,
        )

    def next_slots(self, trials: Mapping[str, Trial]) -> list[Slot]:
        """Return the trials to be run next."""
        if self.schedule is not None:
            return list(self.schedule(trials))
        wanted = (Slot(task.name, number) for number in range(1, self.suite.attempts + 1) for task in self.tasks)
        return [slot for slot in wanted if slot.id not in trials]


async def measure(request: RunRequest, bench: Bench, report: Report) -> Run:
    """Try each task as often as the suite says and return the run; its folder holds all that is returned.

    A trial that measured nothing is tried once more, its first folder kept beside it with the suffix `.failed`. When
    cancelled, the trials that ended by then stay, and run.json says "cancelled". At the limit of a budget no further
    trial starts, and the run ends as cut. A full disk ends it as failed.

    Raises:
        OSError: Not even run.json can be written, or what there is of the run cannot be read.
    """
    workspace = bench.workspace
    before = await anyio.to_thread.run_sync(load, workspace, request.id, limiter=_disk)
    earlier = await anyio.to_thread.run_sync(spent_in, workspace.run(request.id), limiter=_disk)
    earlier_sec = before.duration_sec if before else 0.0
    purse = Purse(bench.config.run, request.allowance, earlier, earlier_sec)
    run = _Run(request, bench, report, purse, earlier_sec)
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

    def __init__(self, request: RunRequest, bench: Bench, report: Report, purse: Purse, earlier_sec: float) -> None:
        self._request = request
        self._bench = bench
        self._report = report
        self._purse = purse
        self._began = time.monotonic() - earlier_sec
        self._most = Amount()
        self._folder = bench.workspace.run(request.id)
        self._tasks = {task.name: task for task in request.tasks}
        self._trials: dict[str, Trial] = {}
        self._void: dict[str, Trial] = {}
        """Trials of before that measured nothing, and that nobody has asked for again."""
        self._disk_error = ""
        self._gateway: Gateway | None = None
        self._notices = list(request.notices)
        self._run = request.started()

    async def go(self) -> Run:
        """Run all trials that are not there yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        found = _finished(self._folder)
        self._trials = {name: trial for name, trial in found.items() if trial.counts}
        self._void = {name: trial for name, trial in found.items() if not trial.counts}
        await self._write(RunState.RUNNING)
        self._tell()
        backend = await self._bench.ready_backend()
        if self._request.harnesses or judge.is_asked_by(self._request.tasks):
            self._price(await self._bench.gateway())
        async with backend.in_use(), self._solvers(backend) as solvers:
            while not self._is_over and (slots := self._request.next_slots(self._trials)):
                await self._try_all(slots, solvers)
        if self._disk_error:
            return await self.end(RunState.FAILED, self._disk_error)
        if self._purse.cut:
            return await self.end(RunState.CUT, self._purse.cut)
        return await self.end(RunState.COMPLETE)

    @property
    def _is_over(self) -> bool:
        return bool(self._disk_error or self._purse.cut)

    def _price(self, gateway: Gateway) -> None:
        """See what a trial may cost at this gateway."""
        request, config = self._request, self._bench.config
        self._gateway = gateway
        self._most = most_of_trial(request.tasks, config, gateway, has_harness=bool(request.harnesses))
        self._notices.extend(unpriced(config, gateway, request.allowance))

    async def end(self, state: RunState, error: str = "", *, is_harness_broken: bool = False) -> Run:
        """Write run.json for the last time."""
        return await self._write(state, error, is_harness_broken=is_harness_broken)

    @asynccontextmanager
    async def _solvers(self, backend: Backend) -> AsyncGenerator[Mapping[Arm, SolverOf]]:
        simple: dict[str, Solver] = {"oracle": Oracle(), "nop": Nop()}
        if self._request.candidate in simple:
            yield {Arm.CANDIDATE: lambda _meter: simple[self._request.candidate]}
            return
        gateway = await self._bench.gateway()
        limits = self._bench.config.trial
        async with AsyncExitStack() as stack:
            solvers: dict[Arm, SolverOf] = {}
            for arm, files in self._request.harnesses.items():
                name = f"{self._request.id}-{arm.value}-harness"
                where = self._bench.config.harness.where
                starting = process.start(backend, files, name=name, gateway_port=gateway.port, where=where)
                harness = await stack.enter_async_context(starting)
                self._notices.extend(harness.notices)
                solvers[arm] = functools.partial(HarnessSolver, harness, gateway, limits)
            yield solvers

    async def _try_all(self, slots: Sequence[Slot], solvers: Mapping[Arm, SolverOf]) -> None:
        free = anyio.CapacityLimiter(self._bench.config.concurrency)
        async with anyio.create_task_group() as group:
            for slot in slots:
                group.start_soon(self._try, slot, solvers[slot.arm], free, group.cancel_scope)

    async def _try(
        self, slot: Slot, solver: SolverOf, free: anyio.CapacityLimiter, batch_scope: anyio.CancelScope
    ) -> None:
        plan = Plan(
            run=self._request.id,
            task=self._tasks[slot.task],
            attempt=slot.attempt,
            arm=slot.arm,
            files=self._bench.workspace.trial(self._request.id, slot.id),
            model=self._bench.config.model.name,
        )
        async with free:
            try:
                trial = await self._attempt(plan, solver)
            except Exception as error:  # noqa: BLE001 - the fan-in: one bad trial never ends another
                if isinstance(error, OSError) and error.errno in _DISK_FULL:
                    self._disk_error = f"Trial {plan.id} could not be written: {error}. Make room on the disk."
                    batch_scope.cancel()
                    return
                _log.exception("Trial %s of run %s", plan.id, plan.run)
                failure = Failure(cause=FailureCause.INTERNAL_ERROR, detail="See .autoagent/server.log.")
                trial = await anyio.to_thread.run_sync(broken, plan, failure, limiter=_disk)
        if trial is not None:
            self._trials[trial.id] = trial
            self._tell()

    async def _attempt(self, plan: Plan, solver: SolverOf) -> Trial | None:
        """Try a task, and once more where that measured nothing; None where the budget does not even pay for one."""
        trial = await self._attempt_once(plan, solver)
        if trial is None or trial.failure is None or not RULES[trial.failure.cause].is_retried:
            return trial
        await self._bench.backend.ready_again()
        again = plan.model_copy(update={"retried": trial.failure, "earlier_cheats": trial.cheats})
        return await self._attempt_once(again, solver) or trial

    async def _attempt_once(self, plan: Plan, solver: SolverOf) -> Trial | None:
        config, backend = self._bench.config, self._bench.backend
        async with self._purse.trial(self._most) as meter:
            if meter is None:
                return None
            if plan.files.folder.exists():
                _set_aside(plan.files.folder)
            return await attempt(plan, solver(meter), backend, config, judge.Judge(self._gateway, config.judge, meter))

    def _tell(self) -> None:
        trials = self._trials.values()
        self._report(
            Progress(
                run=self._request.id,
                done=len(trials),
                total=self._run.planned_trials,
                passed=sum(trial.passed for trial in trials),
                cost_usd=self._purse.spent.cost_usd,
            )
        )

    def _all_notices(self) -> tuple[str, ...]:
        tampered = tampering.run_notice(self._trials.values())
        cheats = cheats_of(self._trials.values())
        return tuple(dict.fromkeys((*cheats, *self._notices, *tampered, *self._request.suite.notices)))

    async def _write(self, state: RunState, error: str = "", *, is_harness_broken: bool = False) -> Run:
        trials = self._void | self._trials
        changes = {
            "state": state,
            "finished_at": None if state is RunState.RUNNING else datetime.now(timezone.utc),
            "trials": tuple(trials[name] for name in sorted(trials)),
            "error": error,
            "is_harness_broken": is_harness_broken,
            "notices": self._all_notices(),
            "spent": self._purse.spent,
            "duration_sec": time.monotonic() - self._began,
        }
        run = self._run.model_copy(update=changes)
        self._folder.mkdir(parents=True, exist_ok=True)
        head = run.model_dump_json(indent=1, exclude={"trials"})
        await anyio.to_thread.run_sync(write_whole, self._folder / "run.json", head, limiter=_disk)
        return run


def interrupt(workspace: Workspace, run_id: str, tasks: Mapping[str, Task]) -> Run | None:
    """Mark a run that a killed server left as interrupted, and finish the traces of the trials that were under way."""
    _clear_unfinished(workspace.run(run_id))
    run = load(workspace, run_id)
    if run is None or run.state is not RunState.RUNNING:
        return run
    for folder in sorted(workspace.run(run_id).glob("*__*/")):
        place = place_of(folder.name)
        if (folder / "trial.json").exists() or place is None or place[0] not in tasks:
            continue
        name, attempt, arm = place
        files = workspace.trial(run_id, folder.name)
        model = run.suite.model
        interrupt_trial(Plan(run=run_id, task=tasks[name], attempt=attempt, arm=arm, files=files, model=model))
    changes = {
        "state": RunState.INTERRUPTED,
        "finished_at": datetime.now(timezone.utc),
        "spent": sum((one.total for one in spent_in(workspace.run(run_id))), Usage()),
        "duration_sec": run.duration_sec + _last_sitting_sec(run),
    }
    ended = run.model_copy(update=changes)
    write_whole(workspace.run(run_id) / "run.json", ended.model_dump_json(indent=1, exclude={"trials"}))
    return load(workspace, run_id)


def _clear_unfinished(folder: Path) -> None:
    places = (TrialFiles(folder=place) for place in folder.glob("*__*/"))
    clear_unfinished(folder / "run.json", *(path for files in places for path in (files.trial, files.trajectory)))


def restore(workspace: Workspace, run: Run) -> None:
    """Make a run's folder hold the trials of `run` and no others: what is in the ledger counts, not what became of it.

    Whoever deletes trials, or changes or adds some, would else begin the run anew or decide it. Blocks.
    """
    folder = workspace.run(run.id)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "run.json", run.model_dump_json(indent=1, exclude={"trials"}))
    known = {trial.id: trial for trial in run.trials}
    for path in [*folder.glob("*/trial.json")]:
        if path.parent.suffix != FAILED_SUFFIX and path.parent.name not in known:
            _set_aside(path.parent)
    for trial in run.trials:
        path = workspace.trial(run.id, trial.id).trial
        if _read(path) != trial:
            path.parent.mkdir(exist_ok=True)
            write_whole(path, trial.model_dump_json(indent=1))


def _read(path: Path) -> Trial | None:
    try:
        return Trial.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _last_sitting_sec(run: Run) -> float:
    """Return how long a killed server worked on a run, as far as its trials show."""
    ends = [one.started_at + timedelta(seconds=one.duration_sec) for one in run.trials]
    return max(0.0, (max(ends, default=run.started_at) - run.started_at).total_seconds())


def _finished(folder: Path) -> dict[str, Trial]:
    found = sorted(folder.glob("*/trial.json"))
    trials = [Trial.model_validate_json(path.read_bytes()) for path in found if path.parent.suffix != FAILED_SUFFIX]
    return {trial.id: trial for trial in trials}


def _set_aside(folder: Path) -> None:
    number = 1
    while (aside := folder.with_name(f"{folder.name}{'' if number == 1 else f'.{number}'}{FAILED_SUFFIX}")).exists():
        number += 1
    folder.rename(aside)
