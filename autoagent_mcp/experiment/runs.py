"""Runs in the background, one at a time: started, waited for, cancelled, entered in the ledger when they end.

A run belongs to the lab and not to the call that started it: a client that goes away changes nothing.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from autoagent_mcp._tasks import Bell
from autoagent_mcp.errors import AutoagentError, BusyError, LedgerError, UnknownNameError
from autoagent_mcp.experiment.book import DECIDED
from autoagent_mcp.experiment.record import Record
from autoagent_mcp.models.experiment import Decided, Decision
from autoagent_mcp.models.run import Progress, Run, RunKind, RunState
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Trial, TrialFiles
from autoagent_mcp.run import run as run_room
from autoagent_mcp.run.bench import Bench
from autoagent_mcp.run.run import Report, RunRequest
from autoagent_mcp.run.score import score

_POLL_SEC = 0.5
"""How often a server that only reads looks whether the other one's run has ended."""
_RUN_ID = re.compile(r"\d{4,9}")
_log = logging.getLogger(__name__)
_disk = anyio.CapacityLimiter(4)


Work = Callable[[Report], Awaitable[Run]]
"""Measures a run and returns it, whatever came of it."""
Conclude = Callable[[Run], Awaitable[None]]


class Measure(Protocol):
    """Measures a candidate; `run.run.measure` does."""

    async def __call__(self, request: RunRequest, bench: Bench, report: Report, /) -> Run:
        """Return the run, whatever came of it."""
        ...


@dataclass
class _Active:
    run: Run
    experiment: int
    work: Work
    conclude: Conclude | None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)
    progress: Progress | None = None
    cut: str = ""
    """Why it was made to end, where it was."""

    def report(self, progress: Progress) -> None:
        self.progress = progress


class Runs:
    """The runs of a workspace."""

    def __init__(self, bench: Bench, record: Record, group: TaskGroup) -> None:
        self._bench = bench
        self._record = record
        self._group = group
        self._later: Callable[[], Coroutine[None, None, None]] | None = None
        self._active: _Active | None = None
        self._has_taken_up = False
        """Whether another server's runs were taken up: until then they may go on there, or have to be marked."""
        self.changed = Bell()
        """Rung when a run has begun or ended."""

    @property
    def active(self) -> Run | None:
        """The run that goes on in this server, as it was started."""
        return self._active.run if self._active else None

    def check_idle(self) -> None:
        """See that a run can be started. Raises: BusyError: another one goes on."""
        if self._active is not None:
            run_id = self._active.run.id
            raise BusyError(
                f"Run {run_id} still goes on, and there is one run at a time.",
                f'Call wait_run(run="{run_id}") or cancel_run(run="{run_id}") first.',
            )

    def start(self, run: Run, experiment: int, work: Work, conclude: Conclude | None = None) -> Run:
        """Let a run go on in the background.

        Args:
            run: As it begins.
            experiment: Whose candidate it tries.
            work: Measures it; of a run that was begun before only the missing trials.
            conclude: What follows once it is entered in the ledger, while it still counts as going on.

        Raises:
            BusyError: Another run goes on.
        """
        self.check_idle()
        self._active = _Active(run=run, experiment=experiment, work=work, conclude=conclude)
        self._group.start_soon(self._go, self._active)
        self.changed.ring()
        return run

    def afterwards(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Have something done once the run that goes on has ended; at once where none does."""
        if self._active is None:
            self._group.start_soon(work)
        else:
            self._later = work

    async def run(self, run_id: str) -> Run:
        """Return a run as it stands; while it goes on, with the trials that ended so far.

        Raises:
            UnknownNameError: There is no such run.
        """
        if self._active is not None and self._active.run.id == run_id:
            found = await self._on_disk(run_id) or self._active.run
            return found.model_copy(update={"state": RunState.RUNNING, "finished_at": None})  # of several parts
        if not self._record.ledger.writable:
            found = await self._on_disk(run_id)
            if found is not None:
                return found
        if run_id in self._record.book.runs:
            return await self._record.run(self._record.book.runs[run_id])
        found = await self._on_disk(run_id)
        if found is None:
            raise UnknownNameError("run", run_id, self._ids())
        return found

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

    async def wait(self, run_id: str, wait_sec: float) -> Run:
        """Wait until a run has ended, at most `wait_sec`, and return it as it stands.

        Raises:
            UnknownNameError: There is no such run.
        """
        await self.has_ended(run_id, wait_sec)
        return await self.run(run_id)

    async def has_ended(self, run_id: str, wait_sec: float) -> bool:
        """Wait until a run has ended, at most `wait_sec`, and tell whether it has; it is not read unless it must be."""
        with anyio.move_on_after(wait_sec):
            if self._active is not None and self._active.run.id == run_id:
                await self._active.done.wait()
            while not self._has_taken_up and await self._goes_on_elsewhere(run_id):  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(_POLL_SEC)
            return True
        return False

    def cut(self, reason: str) -> None:
        """Let the run that goes on end as at the limit of a budget: what ended by now stays, and it can go on later."""
        if self._active is not None:
            self._active.cut = reason
            self._active.scope.cancel()

    async def cancel(self, run_id: str) -> Run:
        """Stop a run and return it; one that has ended stays as it is.

        Raises:
            UnknownNameError: There is no such run.
            LedgerError: It is another server's.
        """
        run = await self.run(run_id)
        if run.state is RunState.RUNNING:
            self._record.ledger.check_writable()
        if self._active is not None and self._active.run.id == run_id:
            self._active.scope.cancel()
            await self._active.done.wait()
        return await self.run(run_id)

    async def progress(self, run_id: str) -> Progress:
        """Say how far a run is. Raises: UnknownNameError: there is no such run."""
        if self._active is not None and self._active.run.id == run_id and self._active.progress is not None:
            return self._active.progress
        run = await self.run(run_id)
        found = score(run.trials)
        return Progress(
            run=run.id, done=found.trials, total=run.planned_trials, passed=found.passed, cost_usd=found.usage.cost_usd
        )

    async def current(self) -> Run | None:
        """Return the run that goes on, in this server (as it was started) or in the one that writes."""
        if self._active is not None or self._record.ledger.writable:
            return self.active
        last = await self._on_disk(max(self._ids(), default=""))
        return last if last is not None and last.state is RunState.RUNNING else None

    def next_id(self) -> str:
        """Return the id for a new run."""
        return f"{max((int(one) for one in self._ids()), default=0) + 1:04d}"

    async def take_up(self, tasks: dict[str, Task]) -> None:
        """Enter in the ledger what ended without being entered, and mark what a killed server left as interrupted."""
        workspace = self._bench.workspace
        for run_id in self._ids():
            record = self._record.book.runs.get(run_id)
            if record is not None and record.is_measured and not self._record.book.may_go_on(record):
                continue
            run = await anyio.to_thread.run_sync(run_room.interrupt, workspace, run_id, tasks, limiter=_disk)
            experiment = self._record.book.by_tree(run.candidate) if run else None
            is_new = record is None or (run is not None and run.finished_at != record.run.finished_at)
            if run is not None and experiment is not None and is_new:
                await self._record.enter_run(experiment.n, run)
        await self._crown()
        self._has_taken_up = True

    async def _go(self, active: _Active) -> None:
        run: Run | None = None
        error_text = ""
        try:
            with active.scope:
                await self._restore(active.run.id)
                run = await active.work(active.report)
        except Exception as error:  # noqa: BLE001 - the border of a background task: a bug ends this run alone
            _log.exception("Run %s", active.run.id)
            reason = str(error) if isinstance(error, (AutoagentError, OSError)) else "See .autoagent/server.log."
            error_text = f"The run broke off. {reason}"
        finally:
            with anyio.CancelScope(shield=True):
                await self._end(active, run, error_text)

    async def _restore(self, run_id: str) -> None:
        """See that a run which is taken up goes on with the trials that the ledger has."""
        record = self._record.book.runs.get(run_id)
        if record is not None:
            run = await self._record.run(record)
            await anyio.to_thread.run_sync(run_room.restore, self._bench.workspace, run, limiter=_disk)

    async def _broken_off(self, run: Run, error_text: str, cut: str) -> Run:
        """Return what is on disk of a run that was cancelled, cut, or ended with an error."""
        found = await anyio.to_thread.run_sync(
            run_room.interrupt, self._bench.workspace, run.id, dict[str, Task](), limiter=_disk
        )
        found = found or run.model_copy(update={"finished_at": datetime.now(timezone.utc)})
        if cut:
            return found.model_copy(update={"state": RunState.CUT, "error": cut})
        if error_text:
            return found.model_copy(update={"state": RunState.FAILED, "error": error_text})
        is_open = found.state in {RunState.RUNNING, RunState.INTERRUPTED}
        return found.model_copy(update={"state": RunState.CANCELLED}) if is_open else found

    async def _end(self, active: _Active, run: Run | None, error_text: str) -> None:
        try:
            run = run or await self._broken_off(active.run, error_text, active.cut)
            await self._record.enter_run(active.experiment, run)
            await self._crown()
            if active.conclude is not None:
                await active.conclude(run)
        except Exception:  # noqa: BLE001 - the same border
            _log.exception("Run %s ended, but not all could be entered in the ledger and git", active.run.id)
        finally:
            self._active = None
            active.done.set()
            self.changed.ring()
            if self._later is not None:
                later, self._later = self._later, None
                self._group.start_soon(later)

    async def _crown(self) -> None:
        """Keep the baseline: the first suite run whose every trial measured something, of a harness that works."""
        book = self._record.book
        if book.incumbent is not None:
            return
        for record in book.runs.values():
            if record.run.kind is RunKind.SUITE and record.is_measured and not record.crash:
                commit = book.experiments[record.experiment].base_commit
                decided = Decided(
                    experiment=record.experiment, decision=Decision.KEEP, reason="The baseline.", kept_commit=commit
                )
                await self._record.append(DECIDED, decided)
                await self._record.repo.mark_kept(commit)
                return

    async def _goes_on_elsewhere(self, run_id: str) -> bool:
        run = await self._on_disk(run_id)
        return run is not None and run.state is RunState.RUNNING

    async def _on_disk(self, run_id: str) -> Run | None:
        if not _RUN_ID.fullmatch(run_id):
            return None
        return await anyio.to_thread.run_sync(run_room.load, self._bench.workspace, run_id, limiter=_disk)

    def _ids(self) -> list[str]:
        folder = self._bench.workspace.runs
        on_disk = {path.name for path in folder.iterdir()} if folder.is_dir() else set[str]()
        return sorted({*self._record.book.runs, *(one for one in on_disk if _RUN_ID.fullmatch(one))})
