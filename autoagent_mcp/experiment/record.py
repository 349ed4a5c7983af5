"""The ledger, its copy in git, what is read out of it and results.tsv, kept together."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
from functools import lru_cache

import anyio

from autoagent_mcp._io import write_whole
from autoagent_mcp.experiment import results
from autoagent_mcp.experiment.book import BEGAN, KINDS, MEASURED, TRIED, Book, RunRecord
from autoagent_mcp.experiment.comparison import compare
from autoagent_mcp.experiment.decision import crash_of
from autoagent_mcp.experiment.kind import kind_of_change
from autoagent_mcp.harness import boundary
from autoagent_mcp.ledger import Ledger
from autoagent_mcp.models.author import Author
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.experiment import Began, Candidate, ChangeKind, Comparison, Experiment, Measured, Tried
from autoagent_mcp.models.run import Run, RunKind, RunState, Score
from autoagent_mcp.models.trial import Arm, Trial
from autoagent_mcp.repo import Editable, Repo
from autoagent_mcp.run.cheating import cheats_of
from autoagent_mcp.run.score import arms_of, score
from autoagent_mcp.workspace import Workspace

_BATCH = 200
"""Entries that are read at once: between batches others get their turn."""
_REMEMBERED = 16
"""Runs that were read last: an answer asks for the same ones several times."""
_log = logging.getLogger(__name__)
_disk = anyio.CapacityLimiter(1)


class Record:
    """What happened in a workspace; `book` is what it adds up to."""

    def __init__(self, workspace: Workspace, repo: Repo, ledger: Ledger) -> None:
        self._workspace = workspace
        self.repo = repo
        self.ledger = ledger
        self._published = 0
        self._read = 0
        self._order = anyio.Lock()
        self._rows: dict[int, bytes] = {}
        self._written_sha256 = ""
        self.book = Book()

    @property
    def length(self) -> int:
        """How many of the ledger's entries are in the book: where it is the same, so is the book."""
        return self._read

    async def load(self) -> None:
        """Make database, git and results.tsv agree, whichever was lost or fell behind in a crash, and read them.

        Raises:
            LedgerError: They contradict each other: something was changed from outside.
        """
        await self._reconcile()
        gc.disable()
        try:
            await self.catch_up()
        finally:
            gc.enable()
            gc.freeze()  # what was read stays: to go through a long ledger again and again slows down every answer
        await self._publish()

    async def catch_up(self) -> None:
        """Read what was appended since, by this server or another."""
        if not self.ledger.writable:
            await self.ledger.refresh()
        async with self._order:
            length = self.ledger.length
            while entries := await self.ledger.entries(self._read, limit=_BATCH, kinds=KINDS):
                for entry in entries:
                    self.book.apply(entry)
                    self._read = entry.seq + 1
            self._read = max(self._read, length)

    async def append(self, kind: str, body: Frozen) -> None:
        """Append an entry; it is on disk in the database before anything else happens.

        Raises:
            LedgerError: Nothing was appended.
            RepoError: It was appended, but its copy in git could not be made; the next append makes up for it.
        """
        with anyio.CancelScope(shield=True):
            await self.ledger.append(kind, body)
            await self.catch_up()
            await self._publish()

    async def begin(self, editable: Editable, description: str, author: Author | None = None) -> Experiment:
        """Put a new candidate into safety in git and enter its experiment.

        Raises:
            RepoError: The snapshot could not be made; nothing was entered.
            LedgerError: It could not be entered; the snapshot stays.
        """
        number = len(self.book.experiments)
        with anyio.CancelScope(shield=True):
            snapshot = await self.repo.snapshot(number, editable, description)
            incumbent = self.book.incumbent
            began = Began(
                n=number,
                description=description,
                candidate=Candidate(
                    tree=snapshot.tree,
                    commit=snapshot.commit,
                    identity=boundary.identity(editable.files),
                    complexity=boundary.complexity(editable.files),
                ),
                parent=incumbent.candidate.tree if incumbent else None,
                base_commit=await self.repo.head(),
                kind_of_change=await self._kind_of_change(incumbent, editable),
                author=author,
            )
            await self.append(BEGAN, began)
        return self.book.experiments[number]

    async def enter_run(self, experiment: int, run: Run) -> None:
        """Enter a run that ended, with its trials. Raises: see `append`."""
        with anyio.CancelScope(shield=True):
            trials = await self.ledger.append(TRIED, Tried(run=run.id, trials=run.trials))
            measured = Measured(
                experiment=experiment,
                run=run.model_copy(update={"trials": ()}),
                trials_seq=trials.seq,
                score=score(run.trials),
                arms=arms_of(run) if run.duel else {},
                crash=crash_of(run),
                cheats=cheats_of(run.trials),
            )
            comparison = await self._comparison(measured)
            await self.append(MEASURED, measured.model_copy(update={"comparison": comparison}))

    async def run(self, record: RunRecord) -> Run:
        """Return a run with its trials."""
        entry = await self.ledger.entry(record.trials_seq)
        return record.run.model_copy(update={"trials": _trials(entry.body)})

    async def score(self, record: RunRecord) -> Score:
        """Return a run's score with its tasks."""
        return _score((await self.ledger.entry(record.seq)).body)

    async def comparison(self, record: RunRecord) -> Comparison | None:
        """Return a run beside the incumbent's, as it was when the run was entered; None where that says nothing."""
        return Measured.model_validate_json((await self.ledger.entry(record.seq)).body).comparison

    async def _kind_of_change(self, incumbent: Experiment | None, editable: Editable) -> tuple[ChangeKind, ...]:
        if incumbent is None:
            return ()
        before = await self.repo.at(incumbent.kept_commit or incumbent.candidate.commit)
        return kind_of_change(before.files, editable.files)

    async def _comparison(self, measured: Measured) -> Comparison | None:
        """Compare a run that is about to be entered with the incumbent's, as both are now."""
        run, incumbent = measured.run, self.book.incumbent
        if incumbent is None or incumbent.n == measured.experiment:
            return None
        if run.kind is RunKind.CONFIRM:
            before, now = measured.arms[Arm.INCUMBENT], measured.arms[Arm.CANDIDATE]
        else:
            known = self.book.run_of(incumbent.n, run.suite.fingerprint)
            is_telling = run.state is RunState.COMPLETE and not measured.crash and not measured.score.unmeasured
            if run.kind is not RunKind.SUITE or known is None or not known.is_measured or not is_telling:
                return None
            before, now = await self.score(known), measured.score
        return compare(
            before,
            now,
            complexity_before=incumbent.candidate.complexity,
            complexity_now=self.book.experiments[measured.experiment].candidate.complexity,
        )

    async def _reconcile(self) -> None:
        last = await self.repo.last_ledger_line()
        if last is not None:
            published, sha256 = _place(last)
            is_known = published <= self.ledger.length
            if not is_known or (await self.ledger.entry(published - 1)).sha256 != sha256:
                await self.ledger.rebuild(await self.repo.read_ledger())
            self._published = published
        await self.ledger.check_seal()

    async def _publish(self) -> None:
        async with self._order:
            lines = await self.ledger.lines(self._published)
            if lines:
                await self.repo.append_ledger(lines)
                self._published += len(lines)
            await self.ledger.seal()
        await self._write_results()

    async def _write_results(self) -> None:
        """Write results.tsv; it is for people, so that what hinders it is no reason to stop."""
        for experiment in self.book.take_changed():
            self._rows[experiment.n] = results.row(self.book, experiment).encode(errors="replace")
        data = b"".join((results.HEADER.encode(), *self._rows.values()))
        sha256 = hashlib.sha256(data).hexdigest()
        if not self.book.experiments or sha256 == self._written_sha256:
            return
        try:
            await anyio.to_thread.run_sync(
                lambda: write_whole(self._workspace.results, data, mode=0o644, scratch=self._workspace.scratch),
                limiter=_disk,
            )
            self._written_sha256 = sha256
        except OSError as error:
            _log.warning("results.tsv cannot be written: %s", error)


@lru_cache(_REMEMBERED)
def _trials(body: str) -> tuple[Trial, ...]:
    return Tried.model_validate_json(body).trials


@lru_cache(_REMEMBERED)
def _score(body: str) -> Score:
    return Measured.model_validate_json(body).score


def _place(line: str) -> tuple[int, str]:
    """How many entries there are up to this line, and its hash; none where it cannot be read, so that all are read."""
    try:
        value = json.loads(line)
        return int(value["seq"]) + 1, str(value["sha256"])
    except (ValueError, KeyError, TypeError):
        return 1, ""
