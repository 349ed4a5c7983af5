"""The only place where git, runs and the ledger meet: measure the harness, keep it or take it back.

What is decided is entered in the ledger first and done in git second, so that a crash between the two leaves a record
from which the next start finishes the work.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import anyio

from autoagent_mcp import task as task_room
from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.errors import (
    AutoagentError,
    DecisionRefused,
    LedgerError,
    NotComparableError,
    RepoError,
    TaskError,
    UnknownNameError,
)
from autoagent_mcp.experiment import brief as brief_room
from autoagent_mcp.experiment.decisions import Decisions
from autoagent_mcp.experiment.record import Record
from autoagent_mcp.experiment.runs import Measure, Runs
from autoagent_mcp.harness import boundary, overfitting
from autoagent_mcp.ledger import Ledger
from autoagent_mcp.models.experiment import Brief, Comparison, Decision, Experiment, TaskHistory
from autoagent_mcp.models.run import Excluded, Progress, Run, RunKind, Suite
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Arm, Trial, TrialFiles
from autoagent_mcp.repo import Editable, Repo
from autoagent_mcp.run.bench import Bench
from autoagent_mcp.run.run import RunRequest, measure
from autoagent_mcp.run.suite import build_suite

_FOLLOW_SEC = 1.0
"""How often a server that only reads looks at what the other one did, and whether it is gone."""
_SHOWN = 10
_IMPROVE = (
    "This is the incumbent. Read the traces of what fails (read_run, read_trace), edit agent.py above its fixed "
    "boundary, spot_check it, then call run_suite."
)
_log = logging.getLogger(__name__)
_disk = anyio.CapacityLimiter(2)


class Lab:
    """A workspace's experiments; made by `open_lab`. A call that is cancelled never cancels a run."""

    def __init__(self, bench: Bench, record: Record, runs: Runs) -> None:
        self._bench = bench
        self._record = record
        self._repo = record.repo
        self._runs = runs
        self._decisions = Decisions(bench.config.model.name, record, runs)
        self._changing = anyio.Lock()
        self._settling = anyio.Lock()
        self._is_settled = False
        self._tasks: tuple[Task, ...] = ()
        self._suite = Suite(tasks=(), fingerprint="", backend=bench.backend.name, model="")

    async def settle(self) -> bool:
        """Become the server that writes, where no other is, and finish what a killed one left; tell whether it is so.

        Raises:
            AutoagentError: The workspace is not ready.
        """
        async with self._settling:
            if self._is_settled:
                return True
            is_writer = await self._record.ledger.take_over()
            if is_writer:
                await self._repo.clear_locks(None)
                await self._record.load()
            else:
                await self._record.catch_up()
            self._bench.pin(self._record.book.backend)
            await self._load_tasks()
            if is_writer:
                await self._finish_left()
                self._is_settled = True
            return is_writer

    async def attend(self) -> None:
        """Follow the server that writes, and take over when it is gone; ends when this one writes."""
        while not self._is_settled:
            await anyio.sleep(_FOLLOW_SEC)
            try:
                await self.settle()
            except AutoagentError:
                _log.exception("This server cannot take over")

    async def start_suite(self, description: str) -> Run:
        """Start measuring the harness as it is now on the whole suite, or return the run that did or does so.

        A run that was cancelled or interrupted, or that has trials which measured nothing, is taken up again: only
        those trials are run. The first run of a workspace is the baseline: agent.py as it is committed.

        Raises:
            HarnessError: The harness cannot be measured as it is.
            TaskError: No task can run here.
            BusyError: Another run goes on.
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        async with self._change():
            await self._load_tasks()
            self._require_tasks()
            return await self._start(RunKind.SUITE, description, self._tasks, self._suite)

    async def start_spot(self, tasks: Sequence[str], *, attempts: int, description: str) -> Run:
        """Start measuring the harness as it is now on a few tasks, or return the run that did or does so.

        Raises:
            UnknownNameError: There is no such task.
            TaskError: One of them cannot run here.
            DecisionRefused: There is no baseline yet.
            HarnessError, BusyError, RepoError, LedgerError: See `start_suite`.
        """
        async with self._change():
            await self._load_tasks()
            self._decisions.require_incumbent()
            chosen = [self._task(name) for name in sorted(set(tasks))]
            backend = self._bench.backend
            config = self._bench.config
            some, suite = build_suite(chosen, (), attempts=attempts, config=config, backend=backend, kind=RunKind.SPOT)
            return await self._start(RunKind.SPOT, description, some, suite)

    async def run(self, run_id: str) -> Run:
        """Return a run as it stands. Raises: UnknownNameError: there is no such run."""
        return await self._runs.run(run_id)

    async def wait(self, run_id: str, wait_sec: float) -> Run:
        """Wait for a run, at most `wait_sec`. Raises: UnknownNameError: there is no such run."""
        return await self._runs.wait(run_id, wait_sec)

    async def cancel(self, run_id: str) -> Run:
        """Stop a run. Raises: UnknownNameError: there is no such run; LedgerError: it is another server's."""
        return await self._runs.cancel(run_id)

    def progress(self, run_id: str) -> Progress | None:
        """Say how far a run is; None where it does not go on in this server."""
        return self._runs.progress(run_id)

    async def trial(self, run_id: str, trial_id: str) -> tuple[Trial, TrialFiles]:
        """Return a trial that has ended, with the place of its files.

        Raises:
            UnknownNameError: There is no such run or trial.
            LedgerError: Its trace is not on disk any more.
        """
        trials = {trial.id: trial for trial in (await self.run(run_id)).trials}
        if trial_id not in trials:
            raise UnknownNameError("trial", trial_id, trials)
        files = self._bench.workspace.trial(run_id, trial_id)
        if not files.trajectory.exists():
            raise LedgerError(
                f"The trace of trial {trial_id} of run {run_id} is not on disk any more; its score is in the ledger.",
                "Read another run's traces, or measure again.",
            )
        return trials[trial_id], files

    async def keep(self, reflection: str) -> Experiment:
        """Keep the harness as it is now. Raises: see `Decisions.keep`."""
        async with self._change():
            await self._load_tasks()
            return await self._decisions.keep(reflection, self._suite.fingerprint)

    async def revert(self, lesson: str) -> Experiment:
        """Take the change back. Raises: see `Decisions.revert`."""
        async with self._change():
            return await self._decisions.revert(lesson)

    @property
    def is_writing(self) -> bool:
        """Whether this server is the one that may start runs and decide."""
        return self._is_settled

    def experiments(self) -> Sequence[Experiment]:
        """All experiments, oldest first."""
        return self._record.book.experiments

    def incumbent(self) -> Experiment | None:
        """The harness kept last; None before the baseline is measured."""
        return self._record.book.incumbent

    async def comparison(self, run: Run) -> Comparison | None:
        """Compare a run with the incumbent's; None where that says nothing."""
        return await self._decisions.comparison(run)

    async def tasks(self) -> tuple[tuple[TaskHistory, ...], tuple[Excluded, ...]]:
        """Return the suite's tasks with their history, and what is excluded from it."""
        return tuple(self._record.book.history(task) for task in self._tasks), self._suite.excluded

    async def next_step(self, run: Run) -> str:
        """Say what to do after a suite run."""
        record, incumbent = self._record.book.runs.get(run.id), self._record.book.incumbent
        if record is not None and record.crash and incumbent is None:
            return f"{record.crash} That is no baseline: mend agent.py (or autoagent.toml), commit it, call run_suite."
        if record is None or incumbent is None:
            return "Call get_brief for the next step."
        if record.experiment == incumbent.n:
            return _IMPROVE
        try:
            verdict = await self._decisions.verdict(record)
        except (DecisionRefused, NotComparableError) as error:
            return str(error)
        if verdict.decision is Decision.KEEP:
            return f"{verdict.reason} Call keep_change(reflection=...), if agent.py was not edited since."
        return f"{verdict.reason} Call revert_change(lesson=...), or edit agent.py and call run_suite again."

    async def brief(self) -> Brief:
        """Say where we are and what is next."""
        book, config = self._record.book, self._bench.config
        active = self._runs.active
        working, following = await self._standing()
        dropped = (one for one in reversed(book.experiments) if one.decision in {Decision.REVERT, Decision.CRASH})
        return brief_room.write(
            brief_room.State(
                incumbent=book.incumbent,
                failing=await self._failing(book.incumbent),
                experiments=len(book.experiments),
                kept=book.kept,
                last=tuple(book.experiments[: -_SHOWN - 1 : -1]),
                lessons=tuple(itertools.islice(dropped, _SHOWN)),
                running=active,
                progress=self._runs.progress(active.id) if active else None,
                working=working,
                next=following,
                excluded=len(self._suite.excluded),
                tasks=len(self._tasks),
                model=f"{config.model.provider}/{config.model.name}",
                backend=self._bench.backend.name,
                notices=(*self._notices(), *self._suite.notices),
            )
        )

    async def _finish_left(self) -> None:
        last = self._record.book.last_decided
        is_unfinished = await self._decisions.is_keep_unfinished()
        began = last.decided_at.timestamp() if is_unfinished and last is not None and last.decided_at else None
        await self._repo.clear_locks(began)
        await self._runs.take_up({task.name: task for task in self._tasks})
        await self._decisions.finish()
        await self._bench.backend.remove_leftovers(self._bench.workspace.id)

    async def _start(self, kind: RunKind, description: str, tasks: tuple[Task, ...], suite: Suite) -> Run:
        book = self._record.book
        editable = await self._repo.read()
        boundary.check(editable.files, model=self._bench.config.model.name)
        experiment = book.by_identity(boundary.identity(editable.files))
        active = self._runs.active
        if active is not None and experiment is not None and _is_of(active, experiment, suite):
            return active
        if book.incumbent is None:
            await self._check_unmodified(editable)
        known = book.run_of(experiment.n, suite.fingerprint) if experiment else None
        if known is not None and known.is_measured:
            return await self._runs.run(known.run.id)
        self._runs.check_idle()
        experiment = experiment or await self._record.begin(editable, description)
        request = RunRequest(
            id=known.run.id if known else self._runs.next_id(),
            kind=kind,
            description=known.run.description if known else description,
            candidate=experiment.candidate.tree,
            harnesses={Arm.CANDIDATE: (await self._repo.at(experiment.candidate.commit)).files},
            tasks=tasks,
            suite=suite,
            notices=await anyio.to_thread.run_sync(self._overfitting, editable, limiter=_disk),
        )
        return self._runs.start(request, experiment.n)

    def _overfitting(self, editable: Editable) -> tuple[str, ...]:
        program = self._bench.workspace.program
        allowed = program.read_text(encoding="utf-8", errors="replace") if program.is_file() else ""
        return overfitting.flags(editable.files, self._tasks, allowed)

    async def _check_unmodified(self, editable: Editable) -> None:
        if await self._repo.at("HEAD") != editable:
            raise RepoError(
                "agent.py or .agent/ differ from what is committed, and the first run must be the unmodified baseline.",
                "Put your change aside until the baseline is measured (git stash), or commit it as the baseline.",
            )

    def _task(self, name: str) -> Task:
        able = {task.name: task for task in self._tasks}
        if name in able:
            return able[name]
        for excluded in self._suite.excluded:
            if excluded.task == name:
                reasons = "; ".join(excluded.reasons).rstrip(".")
                raise TaskError(f"Task {name} cannot run here: {reasons}.", "Choose another.")
        raise UnknownNameError("task", name, able)

    async def _load_tasks(self) -> None:
        config, backend = self._bench.config, self._bench.backend
        folder = self._bench.workspace.folder / config.tasks_dir

        def load() -> tuple[tuple[Task, ...], Suite]:
            tasks, excluded = task_room.load_all(folder)
            return build_suite(tasks, excluded, attempts=config.run.attempts, config=config, backend=backend)

        self._tasks, self._suite = await anyio.to_thread.run_sync(load, limiter=_disk)

    def _require_tasks(self) -> None:
        if not self._tasks:
            reasons = [f"{one.task}: {'; '.join(one.reasons)}" for one in self._suite.excluded]
            raise TaskError(
                f"There is no task that can run here{f' ({reasons[0]})' if reasons else ''}.",
                "See list_tasks for the reasons, or add a task.",
            )

    @asynccontextmanager
    async def _change(self) -> AsyncGenerator[None]:
        """One change at a time, by the server that may write."""
        async with self._changing:
            await self.settle()
            self._record.ledger.check_writable()
            await self._repo.check()
            yield

    async def _standing(self) -> tuple[str, str]:
        """Say how the files in the working tree stand, and what follows."""
        book, active = self._record.book, self._runs.active
        if active is not None:
            return "", f'Call wait_run(run="{active.id}").'
        if book.incumbent is None:
            return "", "Call run_suite to measure the unmodified baseline."
        try:
            editable = await self._repo.read()
            boundary.check(editable.files, model=self._bench.config.model.name)
        except AutoagentError as error:
            return f"The harness cannot be measured as it is. {error.problem}", error.hint
        found = book.by_identity(boundary.identity(editable.files))
        return await self._standing_of(found, book.incumbent)

    async def _standing_of(self, found: Experiment | None, incumbent: Experiment) -> tuple[str, str]:
        if found is None:
            return "agent.py or .agent/ were edited and not measured yet.", "Call spot_check or run_suite."
        if found.n == incumbent.n:
            return "The working files are the incumbent's.", _IMPROVE
        record = self._record.book.run_of(found.n, self._suite.fingerprint)
        standing = f"The working files are experiment {found.n}'s."
        if record is None:
            return standing, "Call run_suite, or revert_change if the spot check was bad."
        return standing, await self.next_step(record.run)

    async def _failing(self, incumbent: Experiment | None) -> tuple[str, ...]:
        """Tasks that the incumbent does not always pass."""
        records = [self._record.book.runs[run] for run in incumbent.runs] if incumbent else []
        last = next((one for one in reversed(records) if one.run.kind is RunKind.SUITE and one.is_measured), None)
        tasks = (await self._record.score(last)).tasks if last else ()
        return tuple(task.task for task in tasks if task.passed < task.attempts)

    def _notices(self) -> list[str]:
        ledger = self._record.ledger
        return [*ledger.notices, *([] if ledger.writable else ["Another server works here; this one only reads."])]


@asynccontextmanager
async def open_lab(bench: Bench, *, measuring: Measure = measure) -> AsyncGenerator[Lab]:
    """Open the bench's workspace: read-only where another server has it, and then the one that takes over.

    Leaving it stops the run that goes on; what of it ended is in the ledger.

    Args:
        bench: What runs are measured on.
        measuring: What measures a candidate.

    Raises:
        SetupError: The folder is no repository, or not one of its own.
        RepoError: The repository is not in a state to go on.
        LedgerError: The ledger cannot be read, or was changed from outside.
        TaskError: There is no folder with tasks.
    """
    repo = await Repo.open(bench.workspace)
    ledger = await Ledger.open(bench.workspace)
    try:
        record = Record(bench.workspace, repo, ledger)
        async with background_tasks() as group:
            lab = Lab(bench, record, Runs(bench, record, measuring, group))
            await lab.settle()
            group.start_soon(lab.attend)
            yield lab
    finally:
        await ledger.close()


def _is_of(active: Run, experiment: Experiment, suite: Suite) -> bool:
    return active.candidate == experiment.candidate.tree and active.suite.fingerprint == suite.fingerprint
