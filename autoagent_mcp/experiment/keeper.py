"""Keep and roll back: entered in the ledger first and done in git second.

A crash between the two leaves a record, from which the next start finishes the work (`finish`).
"""

from __future__ import annotations

import anyio

from autoagent_mcp.errors import RepoError
from autoagent_mcp.experiment.book import DECIDED, Book
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.models.experiment import Decided, Decision, Experiment, Judgement, Outcome
from autoagent_mcp.models.run import Duel, Run
from autoagent_mcp.repo import Editable

_SUBJECT_CHARS = 72
_DROPPED = {Decision.REVERT, Decision.CRASH}


class Keeper:
    """Carries out what was decided."""

    def __init__(self, shared: Shared) -> None:
        self._record = shared.record
        self._repo = shared.record.repo

    @property
    def _book(self) -> Book:
        return self._record.book

    async def keep_confirmed(self, experiment: Experiment, run: Run, judgement: Judgement, duel: Duel) -> None:
        """Keep what a duel with the incumbent has shown to be better.

        Raises:
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        decided = Decided(
            experiment=experiment.n,
            decision=Decision.KEEP,
            reason=judgement.reason,
            reflection=duel.reflection,
            author=duel.author,
            is_provisional=judgement.outcome is Outcome.PROVISIONAL,
            score_run=run.id,
        )
        gain = f"{judgement.outcome.value.capitalize()}: {_points(judgement)}.\n{judgement.reason}"
        await self.keep(decided, gain, run.id)

    async def confirm(self, champion: Experiment, judgement: Judgement) -> None:
        """Note that what was kept provisionally stood its test beside the baseline. Raises: see `keep_confirmed`."""
        decided = Decided(
            experiment=champion.n,
            decision=Decision.KEEP,
            reason=judgement.reason,
            reflection=champion.reflection,
            kept_commit=champion.kept_commit,
            author=champion.decided_by,
        )
        await self._record.append(DECIDED, decided)

    async def roll_back(self, champion: Experiment, judgement: Judgement) -> None:
        """Go back, by a new commit, to the last harness that was confirmed; what came after it is reverted.

        The working files follow where they are still the champion's. May be repeated: what falls is entered before the
        one that it falls back to.

        Raises:
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        confirmed, fallen = self._book.last_confirmed, self._book.unconfirmed
        editable, target = await self._repo.read(), await self._repo.at(commit_of(confirmed))
        is_untouched = editable == await self._repo.at(commit_of(champion))
        reason = f"Rolled back to experiment {confirmed.n}. {judgement.reason}"
        with anyio.CancelScope(shield=True):
            commit = await self._repo.prepare_keep(
                commit_of(confirmed), f"Roll back to experiment {confirmed.n}\n\n{reason}\n"
            )
            back = Decided(
                experiment=confirmed.n,
                decision=Decision.KEEP,
                reason=confirmed.reason,
                reflection=confirmed.reflection,
                kept_commit=commit,
                author=confirmed.decided_by,
            )
            for one in fallen:
                dropped = Decided(experiment=one.n, decision=Decision.REVERT, reason=reason, reflection=one.reflection)
                await self._record.append(DECIDED, dropped)
            await self._record.append(DECIDED, back)
            await self._repo.keep(commit)
            if is_untouched and editable != target:
                await self._repo.revert(commit, replacing=editable)

    async def keep(self, decided: Decided, gain: str, run_id: str) -> None:
        """Commit an experiment's candidate, entered in the ledger first.

        Args:
            decided: What is entered; the commit is filled in.
            gain: What it gave, for the commit's message.
            run_id: The run that showed it.

        Raises:
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        experiment = self._book.experiments[decided.experiment]
        candidate = await self._repo.candidate(experiment.n) or experiment.candidate.commit
        message = _message(experiment, run_id, gain, decided.reflection)
        with anyio.CancelScope(shield=True):
            commit = await self._repo.prepare_keep(candidate, message)
            await self._record.append(DECIDED, decided.model_copy(update={"kept_commit": commit}))
            await self._repo.keep(commit)

    async def save(self, experiment: Experiment, editable: Editable) -> str:
        """See that the experiment's ref holds the files byte for byte (comments make no candidate of their own)."""
        commit = await self._repo.candidate(experiment.n)
        if commit is None or await self._repo.at(commit) != editable:
            commit = (await self._repo.snapshot(experiment.n, editable, experiment.description)).commit
        return commit

    async def _finish_keep(self, incumbent: Experiment) -> None:
        commit = commit_of(incumbent)
        if incumbent.parent is None and incumbent.base_commit == commit:
            await self._repo.mark_kept(commit)
            return
        if not await self._repo.can_keep(commit):
            candidate = await self._repo.candidate(incumbent.n) or incumbent.candidate.commit
            commit = await self._repo.prepare_keep(candidate, _subject(incumbent.description))
            decided = Decided(
                experiment=incumbent.n,
                decision=Decision.KEEP,
                reason=incumbent.reason,
                reflection=incumbent.reflection,
                kept_commit=commit,
                is_provisional=incumbent.is_provisional,
                author=incumbent.decided_by,
            )
            await self._record.append(DECIDED, decided)
        await self._repo.keep(commit)

    async def _finish_revert(self, dropped: Experiment, incumbent: Experiment) -> None:
        """Go on with a revert that ended between two files: some are the candidate's, the others the incumbent's."""
        commit = await self._repo.candidate(dropped.n)
        if commit is None:
            return
        now = await self._repo.read()
        target = await self._repo.at(commit_of(incumbent))
        candidate = await self._repo.at(commit)
        names = {*now.files, *target.files, *candidate.files}
        is_mixed = all(now.files.get(name) in (target.files.get(name), candidate.files.get(name)) for name in names)
        if is_mixed and now.files not in (target.files, candidate.files):
            await self._repo.revert(commit_of(incumbent), replacing=now)

    async def finish(self) -> None:
        """Finish in git what the ledger says was decided; where all is done, nothing happens."""
        incumbent = self._book.incumbent
        if incumbent is None:
            return
        if await self._repo.kept() != commit_of(incumbent):
            await self._finish_keep(incumbent)
        last = self._book.last_decided
        if last is not None and last.decision in _DROPPED:
            await self._finish_revert(last, incumbent)

    async def is_keep_unfinished(self) -> bool:
        """Tell whether the ledger has a keep that git has not, or not wholly."""
        incumbent = self._book.incumbent
        return incumbent is not None and await self._repo.kept() != commit_of(incumbent)


def commit_of(kept: Experiment) -> str:
    """Return the commit of an experiment that was kept. Raises: RepoError: the ledger has none."""
    if kept.kept_commit is None:
        raise RepoError(
            f"Experiment {kept.n} was kept without a commit, so the ledger was changed from outside.",
            "Take .autoagent and the refs below refs/autoagent from a backup, or start in a fresh clone.",
        )
    return kept.kept_commit


def _subject(description: str) -> str:
    line = " ".join(description.split())
    return line if len(line) <= _SUBJECT_CHARS else f"{line[: _SUBJECT_CHARS - 3]}..."


def _message(experiment: Experiment, run_id: str, gain: str, reflection: str) -> str:
    """Tell what was changed and how much it gave."""
    parts = [_subject(experiment.description), gain, f"Experiment {experiment.n}, run {run_id}."]
    if len(" ".join(experiment.description.split())) > _SUBJECT_CHARS:
        parts.append(experiment.description)
    parts.append(f"Reflection: {reflection}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _points(judgement: Judgement) -> str:
    return (
        f"{judgement.difference_points:+.1f} points of the pass rate "
        f"(95 % interval {judgement.low_points:+.1f} to {judgement.high_points:+.1f})"
    )
