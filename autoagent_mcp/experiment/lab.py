"""The door to a workspace's experiments: measure the harness, keep it or take it back, and say where we are."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing

import anyio

from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.config import ServerSettings
from autoagent_mcp.errors import AutoagentError
from autoagent_mcp.experiment.beacon import Beacon
from autoagent_mcp.experiment.book import RunRecord
from autoagent_mcp.experiment.confirm import Confirmation
from autoagent_mcp.experiment.decisions import Decisions
from autoagent_mcp.experiment.evidence import ROUNDS
from autoagent_mcp.experiment.files import Edit, HarnessFiles, TextFile
from autoagent_mcp.experiment.guards import Guards
from autoagent_mcp.experiment.guide import Guide
from autoagent_mcp.experiment.hidden import HiddenPairs, open_hidden
from autoagent_mcp.experiment.integrity import Watch
from autoagent_mcp.experiment.keeper import Keeper, commit_of
from autoagent_mcp.experiment.record import Record
from autoagent_mcp.experiment.runs import Measure, Runs
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.experiment.spending import Spending
from autoagent_mcp.experiment.starting import Starter, Wanted
from autoagent_mcp.experiment.suites import Suites
from autoagent_mcp.harness import boundary
from autoagent_mcp.ledger import Ledger
from autoagent_mcp.models.author import Author
from autoagent_mcp.models.experiment import (
    Asked,
    Brief,
    Comparison,
    Experiment,
    Judgement,
    PredictionScore,
    TaskHistory,
)
from autoagent_mcp.models.run import Excluded, Progress, Run, RunKind
from autoagent_mcp.models.trial import Trial, TrialFiles
from autoagent_mcp.repo import Repo
from autoagent_mcp.run.bench import Bench
from autoagent_mcp.run.run import measure

_FOLLOW_SEC = 1.0
"""How often a server that only reads looks at what the other one did, and whether it is gone."""
_log = logging.getLogger(__name__)
_disk = anyio.CapacityLimiter(2)


class Lab:
    """A workspace's experiments; made by `open_lab`. A call that is cancelled never cancels a run."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._bench = shared.bench
        self._record = shared.record
        self._repo = shared.record.repo
        self._runs = shared.runs
        self._suites = shared.suites
        self._guards = Guards(shared)
        self._spending = Spending(shared)
        self._starter = Starter(shared, self._guards, self._spending)
        self._keeper = Keeper(shared)
        self._decisions = Decisions(shared, self._keeper)
        self._confirmation = Confirmation(shared, self._decisions, self._keeper, self._spending)
        self._guide = Guide(shared, self._decisions, self._confirmation, self._guards, self._spending)
        self._beacon = Beacon(shared, self._guide, self._spending)
        self._files = HarnessFiles(shared)
        self._settling = anyio.Lock()
        self._is_settled = False

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
            await self._suites.load()
            if is_writer:
                if self._shared.hidden is not None:
                    await self._shared.hidden.take_over()
                await self._guards.plant()
                await self._finish_left()
                self._is_settled = True
            return is_writer

    async def look(self) -> None:
        """See whether anything was changed behind the server's back; every call begins with it.

        Raises:
            RepoError, LedgerError: See `Watch.look`.
        """
        await self._shared.watch.look(self._suites.usable, self._suites.usable_hidden, is_thorough=False)

    async def attend(self) -> None:
        """Follow the server that writes, and take over when it is gone; then tell how things stand, see `Beacon`."""
        while not self._is_settled:
            await anyio.sleep(_FOLLOW_SEC)
            try:
                await self.settle()
            except AutoagentError:
                _log.exception("This server cannot take over")
        await self._beacon.attend()

    async def end(self) -> None:
        """Say, last of all, that this server has ended."""
        with anyio.CancelScope(shield=True):
            await self._beacon.write(is_serving=False)

    async def start_suite(
        self,
        description: str,
        expect_fixed: Sequence[str] = (),
        expect_broken: Sequence[str] = (),
        *,
        by: Author | None = None,
    ) -> Run:
        """Start measuring the harness as it is now on the whole suite, or return the run that did or does so.

        A run that was cancelled or interrupted, or that has trials which measured nothing, is taken up again: only
        those trials are run. The first run of a workspace is the baseline: agent.py as it is committed.

        Args:
            description: The hypothesis.
            expect_fixed: Tasks that are expected to become solved. What is expected counts only of a change, and from
                before its run began: the run that is returned has it as its `prediction`, or has an earlier one.
            expect_broken: Tasks that are expected to break.
            by: Who asks.

        Raises:
            UnknownNameError: There is no such task to expect something of.
            HarnessError: The harness cannot be measured as it is.
            TaskError: No task can run here.
            BusyError: Another run goes on.
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        async with self._change():
            await self._load()
            self._suites.require()
            expected = self._suites.prediction(expect_fixed, expect_broken)
            suites = self._suites
            wanted = Wanted(RunKind.SUITE, description, suites.tasks, suites.whole, prediction=expected, author=by)
            return await self._starter.start(wanted)

    async def start_spot(
        self, tasks: Sequence[str], *, attempts: int, description: str, by: Author | None = None
    ) -> Run:
        """Start measuring the harness as it is now on a few tasks, or return the run that did or does so.

        Raises:
            UnknownNameError: There is no such task.
            TaskError: One of them cannot run here.
            DecisionRefused: There is no baseline yet.
            HarnessError, BusyError, RepoError, LedgerError: See `start_suite`.
        """
        async with self._change():
            await self._load()
            self._decisions.require_incumbent()
            some, suite = self._suites.spot(tasks, attempts=attempts)
            return await self._starter.start(Wanted(RunKind.SPOT, description, some, suite, author=by))

    async def run(self, run_id: str) -> Run:
        """Return a run as it stands. Raises: UnknownNameError: there is no such run."""
        return await self._runs.run(run_id)

    async def wait(self, run_id: str, wait_sec: float) -> Run:
        """Wait for a run, at most `wait_sec`. Raises: UnknownNameError: there is no such run."""
        return await self._runs.wait(run_id, wait_sec)

    async def has_ended(self, run_id: str, wait_sec: float) -> bool:
        """Wait for a run, at most `wait_sec`, and tell whether it has ended."""
        return await self._runs.has_ended(run_id, wait_sec)

    async def cancel(self, run_id: str) -> Run:
        """Stop a run. Raises: UnknownNameError: there is no such run; LedgerError: it is another server's."""
        return await self._runs.cancel(run_id)

    async def running(self) -> Run | None:
        """Return the run that goes on, also one of the server that writes where this one only reads."""
        return await self._runs.current()

    async def progress(self, run_id: str) -> Progress:
        """Say how far a run is. Raises: UnknownNameError: there is no such run."""
        return await self._runs.progress(run_id)

    async def trial(self, run_id: str, trial_id: str) -> tuple[Trial, TrialFiles]:
        """Return a trial that has ended, with the place of its files. Raises: see `Runs.trial`."""
        return await self._runs.trial(run_id, trial_id)

    async def keep(self, reflection: str, justification: str = "", *, by: Author | None = None) -> Asked:
        """Keep the harness as it is now, at once or by a run that shows what it is worth.

        Args:
            reflection: Whether the change would be worthwhile without the very tasks it helped.
            justification: Why what it has in common with single tasks is none the less general; may be empty.
            by: Who asks.

        Raises:
            DecisionRefused: It was not measured as it is, its first run was no improvement, or it cheats.
            NotComparableError: The incumbent was measured on something else.
            BusyError: Another run goes on.
            HarnessError, RepoError, LedgerError: See `start_suite`.
        """
        async with self._change():
            await self._load_accepted()
            active = self._runs.active
            if active is not None and active.kind is RunKind.CONFIRM:
                experiment = self._record.book.by_tree(active.candidate)
                editable = await self._repo.read()
                if experiment is not None and boundary.identity(editable.files) == experiment.candidate.identity:
                    return Asked(experiment=experiment, run=active)
            record = await self._decisions.door(self._suites.whole.fingerprint)
            if record is None:
                return Asked(experiment=self._decisions.require_incumbent(), run=None)
            await self._check(record, justification)
            words = f"{reflection}\n\nJustification: {justification}" if justification else reflection
            run = None
            if self._bench.config.decision.rule == "seed":
                await self._decisions.keep_at_once(record, words, by)
            else:
                run = await self._confirmation.keep(record, words, by)
            return Asked(experiment=self._record.book.experiments[record.experiment], run=run)

    async def _check(self, record: RunRecord, justification: str) -> None:
        incumbent = await self._repo.at(commit_of(self._decisions.require_incumbent()))
        experiment = self._record.book.experiments[record.experiment]
        await self._guards.check(experiment, (await self._repo.read()).files, incumbent.files, justification)

    async def review(self, rounds: int = ROUNDS) -> Run:
        """Try the incumbent beside the baseline. Raises: see `Confirmation.review`."""
        async with self._change():
            await self._load_accepted()
            return await self._confirmation.review(rounds)

    async def hidden_pairs(self, run: Run) -> HiddenPairs | None:
        """Return what a review showed on the hidden tasks, for nobody but a person; see `Confirmation.hidden_pairs`."""
        return await self._confirmation.hidden_pairs(run)

    async def revert(self, lesson: str, *, by: Author | None = None) -> Experiment:
        """Take the change back. Raises: see `Decisions.revert`."""
        async with self._change():
            return await self._decisions.revert(lesson, by)

    async def read_file(self, name: str) -> TextFile:
        """Return agent.py, a file of .agent/, or program.md. Raises: see `HarnessFiles.read`."""
        return await self._files.read(name)

    async def edit_file(self, edit: Edit) -> tuple[TextFile | None, int]:
        """Change a file of the harness, never while it is being measured or kept. Raises: see `HarnessFiles.edit`."""
        async with self._change():
            return await self._files.edit(edit)

    @property
    def is_writing(self) -> bool:
        """Whether this server is the one that may start runs and decide."""
        return self._is_settled

    @property
    def server_settings(self) -> ServerSettings:
        """How the server is to speak to its clients."""
        return self._bench.config.server

    def notes(self) -> tuple[str, ...]:
        """Say what every answer has to tell: what was changed from outside, who else writes, what limit was reached."""
        told = (self._record.ledger.standing, self._spending.note())
        return (*self._shared.watch.notices, *filter(None, told))

    def done(self) -> str:
        """Say why the work is over; empty while it is not."""
        return self._guide.done()

    def experiments(self) -> Sequence[Experiment]:
        """All experiments, oldest first."""
        return self._record.book.experiments

    def incumbent(self) -> Experiment | None:
        """The harness kept last; None before the baseline is measured."""
        return self._record.book.incumbent

    def judgement(self, run_id: str) -> Judgement | None:
        """Return what a confirm run or a review showed; None for other runs, and before it is decided."""
        return self._record.book.judged(run_id)

    def predicted(self, run_id: str) -> PredictionScore | None:
        """Return what came of a run's prediction; None where it had none or is not complete."""
        return self._record.book.predicted(run_id)

    async def comparison(self, run: Run) -> Comparison | None:
        """Compare a run with the incumbent's; None where that says nothing."""
        return await self._decisions.comparison(run)

    async def tasks(self) -> tuple[tuple[TaskHistory, ...], tuple[Excluded, ...]]:
        """Return the suite's tasks with their history, and what is excluded from it."""
        suites = self._suites
        return tuple(self._record.book.history(task) for task in suites.tasks), suites.whole.excluded

    async def next_step(self, run: Run) -> str:
        """Say what to do after a run that is complete."""
        return await self._guide.next_step(run)

    async def after_refusal(self) -> str:
        """Say what to do about a change that was not kept."""
        return await self._guide.after_refusal()

    async def idea(self) -> str:
        """Say which kind of change to try next, after some that were not kept; empty after a keep."""
        return await self._guide.idea()

    async def brief(self) -> Brief:
        """Say where we are and what is next."""
        return await self._guide.brief()

    async def _finish_left(self) -> None:
        last = self._record.book.last_decided
        is_unfinished = await self._keeper.is_keep_unfinished()
        began = last.decided_at.timestamp() if is_unfinished and last is not None and last.decided_at else None
        await self._repo.clear_locks(began)
        await self._runs.take_up({task.name: task for task in self._suites.tasks})
        await self._keeper.finish()
        try:
            await self._confirmation.finish()
        except AutoagentError:
            _log.exception("What was judged before could not be carried out")
        await self._bench.backend.remove_leftovers(self._bench.workspace.id)

    async def _load(self) -> None:
        await self._suites.load()
        await self._guards.plant()
        await self._shared.watch.look(self._suites.usable, self._suites.usable_hidden)

    async def _load_accepted(self) -> None:
        """Load what is measured, and see that none of it was changed without a person's word."""
        await self._load()
        self._shared.watch.require_accepted()
        if self._shared.hidden is not None:
            await self._shared.hidden.accept()

    @asynccontextmanager
    async def _change(self) -> AsyncGenerator[None]:
        """One change at a time, by the server that may write."""
        async with self._shared.changing:
            await self.settle()
            self._record.ledger.check_writable()
            await self._repo.check()
            try:
                yield
            finally:
                self._runs.changed.ring()


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
    lab: Lab | None = None
    try:
        record = Record(bench.workspace, repo, ledger)
        async with background_tasks() as group:
            hidden = await open_hidden(bench, measuring)
            with closing(Watch(bench.workspace, record)) as watch:
                lab = Lab(Shared(bench, record, Runs(bench, record, group), Suites(bench), measuring, watch, hidden))
                await lab.settle()
                group.start_soon(lab.attend)
                yield lab
    finally:
        if lab is not None:
            await lab.end()
        await ledger.close()
