"""Keep and revert: what the rules allow, entered in the ledger first and done in git second.

A crash between the two leaves a record, from which the next start finishes the work (`finish`).
"""

from __future__ import annotations

import anyio

from autoagent_mcp.errors import DecisionRefused, NotComparableError, RepoError
from autoagent_mcp.experiment.book import DECIDED, Book, RunRecord
from autoagent_mcp.experiment.comparison import compare
from autoagent_mcp.experiment.decision import decide, open_door
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.harness import boundary
from autoagent_mcp.models.experiment import Comparison, Decided, Decision, Experiment, Judgement, Outcome, Verdict
from autoagent_mcp.models.run import Run, RunKind
from autoagent_mcp.repo import Editable

_SUBJECT_CHARS = 72
_UNMEASURED = "Reverted without having been measured."
_DROPPED = {Decision.REVERT, Decision.CRASH}


class Decisions:
    """Decides about candidates."""

    def __init__(self, shared: Shared) -> None:
        self._model = shared.bench.config.model.name
        self._rule = shared.bench.config.decision.rule
        self._record = shared.record
        self._repo = shared.record.repo
        self._runs = shared.runs

    @property
    def _book(self) -> Book:
        return self._record.book

    async def comparison(self, run: Run) -> Comparison | None:
        """Compare a run with the incumbent's, where both measured the same thing; None where that says nothing."""
        record, incumbent = self._book.runs.get(run.id), self._book.incumbent
        if record is None or incumbent is None or incumbent.score is None or record.experiment == incumbent.n:
            return None
        if run.kind is RunKind.SUITE:
            before = self._book.run_of(incumbent.n, run.suite.fingerprint)
            return None if before is None else await self._compare(before, record)
        last = self.last_suite_run(incumbent)
        is_alike = last is not None and (last.run.suite.model, last.run.suite.backend) == (
            run.suite.model,
            run.suite.backend,
        )
        return await self._compare(last, record) if last is not None and is_alike else None

    async def verdict(self, record: RunRecord) -> Verdict:
        """Say what the rule makes of a suite run; under `evidence` a keep means that it may be confirmed.

        Raises:
            DecisionRefused: There is no baseline, or the run measured too little to say.
            NotComparableError: The incumbent was measured on something else.
        """
        incumbent, run = self.require_incumbent(), record.run
        if record.crash:
            return Verdict(decision=Decision.CRASH, reason=record.crash)
        if not record.is_measured:
            unmeasured = record.score.unmeasured
            what = f"{unmeasured} of its trials measured nothing" if unmeasured else run.error.rstrip(".")
            raise DecisionRefused(
                f"Run {run.id} is {run.state.value} and cannot decide{f': {what}' if what else ''}.",
                "Call run_suite again: only what is missing is run.",
            )
        before = self._book.run_of(incumbent.n, run.suite.fingerprint)
        if before is None or not before.is_measured:
            raise NotComparableError(
                f"Run {run.id} measured other tasks, another model, backend or other limits than the incumbent's runs.",
                "Call revert_change, then run_suite, which measures the incumbent anew; then make the change again.",
            )
        comparison = await self._compare(before, record)
        if self._rule == "seed":
            return decide(comparison)
        tallies = self._book.tallies(incumbent.n, run.suite.fingerprint)
        return open_door(await self._record.score(record), tallies, comparison)

    def require_incumbent(self) -> Experiment:
        """Return the incumbent.

        Raises:
            DecisionRefused: There is none yet.
        """
        if self._book.incumbent is None:
            raise DecisionRefused("There is no baseline yet.", "Call run_suite with the unmodified agent.py first.")
        return self._book.incumbent

    async def asked(self, fingerprint: str) -> RunRecord | None:
        """Return the suite run that lets the working files be kept; None where they are kept already.

        Args:
            fingerprint: Of the suite as it is now.

        Raises:
            DecisionRefused: They were not measured as they are, or are no improvement.
            NotComparableError: See `verdict`.
            HarnessError: They may not be part of a harness.
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        await self._repo.check()
        incumbent = self.require_incumbent()
        editable = await self._repo.read()
        boundary.check(editable.files, model=self._model)
        found = self._book.by_identity(boundary.identity(editable.files))
        if found is not None and found.n == incumbent.n:
            await self.finish()
            if editable != await self._repo.at(_kept(incumbent)):
                raise DecisionRefused(
                    "This differs from the incumbent in comments or layout alone, which no measurement can tell apart.",
                    "Call revert_change, or commit it yourself.",
                )
            return None
        record = self._suite_run(found, fingerprint)
        verdict = await self.verdict(record)
        if verdict.decision is not Decision.KEEP:
            raise DecisionRefused(
                f"Run {record.run.id} is no improvement. {verdict.reason}",
                "Call revert_change with what was learnt, or edit agent.py and call run_suite again.",
            )
        await self._save(self._book.experiments[record.experiment], editable)
        return record

    async def keep_at_once(self, record: RunRecord, reflection: str) -> None:
        """Keep, by the seed's rule, what one suite run shows. Raises: see `asked`."""
        comparison = await self.comparison(record.run)
        decided = Decided(
            experiment=record.experiment,
            decision=Decision.KEEP,
            reason=(await self.verdict(record)).reason,
            reflection=reflection,
        )
        await self._keep(decided, _gain(record, comparison), record.run.id)

    async def keep_confirmed(self, experiment: Experiment, run: Run, judgement: Judgement, reflection: str) -> None:
        """Keep what a duel with the incumbent has shown to be better; where that was done, nothing happens.

        Raises:
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        if experiment.decision is Decision.KEEP:
            await self.finish()
            return
        decided = Decided(
            experiment=experiment.n,
            decision=Decision.KEEP,
            reason=judgement.reason,
            reflection=reflection,
            is_provisional=judgement.outcome is Outcome.PROVISIONAL,
            score_run=run.id,
        )
        gain = f"{judgement.outcome.value.capitalize()}: {_points(judgement)}.\n{judgement.reason}"
        await self._keep(decided, gain, run.id)

    async def confirm(self, champion: Experiment, judgement: Judgement) -> None:
        """Note that what was kept provisionally stood its test beside the baseline. Raises: see `keep_confirmed`."""
        decided = Decided(
            experiment=champion.n,
            decision=Decision.KEEP,
            reason=judgement.reason,
            reflection=champion.reflection,
            kept_commit=champion.kept_commit,
        )
        await self._record.append(DECIDED, decided)

    async def roll_back(self, champion: Experiment, judgement: Judgement) -> None:
        """Go back, by a new commit, to the last harness that was confirmed; what came after it is reverted.

        The working files follow where they are still the champion's.

        Raises:
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        confirmed = self._book.last_confirmed
        fallen = [one for one in self._book.experiments if one.is_provisional and one.decision is Decision.KEEP]
        editable, target = await self._repo.read(), await self._repo.at(_kept(confirmed))
        is_untouched = editable == await self._repo.at(_kept(champion))
        reason = f"Rolled back to experiment {confirmed.n}. {judgement.reason}"
        with anyio.CancelScope(shield=True):
            commit = await self._repo.prepare_keep(
                _kept(confirmed), f"Roll back to experiment {confirmed.n}\n\n{reason}\n"
            )
            back = Decided(
                experiment=confirmed.n,
                decision=Decision.KEEP,
                reason=confirmed.reason,
                reflection=confirmed.reflection,
                kept_commit=commit,
            )
            await self._record.append(DECIDED, back)
            for one in fallen:
                dropped = Decided(experiment=one.n, decision=Decision.REVERT, reason=reason, reflection=one.reflection)
                await self._record.append(DECIDED, dropped)
            await self._repo.keep(commit)
            if is_untouched and editable != target:
                await self._repo.revert(commit, replacing=editable)

    async def revert(self, lesson: str) -> Experiment:
        """Make the working files the incumbent's again and enter the lesson; what was there stays in git.

        Where the files are the incumbent's already, the last change that was not decided takes the lesson; where there
        is none either, nothing happens and what was decided last is returned.

        Raises:
            DecisionRefused: There is no baseline to go back to, or the change is being measured.
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        await self._repo.check()
        incumbent = self.require_incumbent()
        editable = await self._repo.read()
        target = await self._repo.at(_kept(incumbent))
        found = self._book.by_identity(boundary.identity(editable.files))
        if editable == target or (found is not None and found.n == incumbent.n):
            experiment = self._last_open()
        else:
            experiment = found or await self._record.begin(editable, _UNMEASURED)
        self._refuse_running(experiment)
        with anyio.CancelScope(shield=True):
            if editable != target:
                await self._save(experiment or incumbent, editable)
            if experiment is not None:
                await self._drop(experiment, lesson)
            if editable != target:
                await self._repo.revert(_kept(incumbent), replacing=editable)
        if experiment is None:
            return self._book.last_decided or incumbent
        return self._book.experiments[experiment.n]

    async def finish(self) -> None:
        """Finish in git what the ledger says was decided; where all is done, nothing happens."""
        incumbent = self._book.incumbent
        if incumbent is None:
            return
        if await self._repo.kept() != _kept(incumbent):
            await self._finish_keep(incumbent)
        last = self._book.last_decided
        if last is not None and last.decision in _DROPPED:
            await self._finish_revert(last, incumbent)

    async def is_keep_unfinished(self) -> bool:
        """Tell whether the ledger has a keep that git has not, or not wholly."""
        incumbent = self._book.incumbent
        return incumbent is not None and await self._repo.kept() != _kept(incumbent)

    async def _keep(self, decided: Decided, gain: str, run_id: str) -> None:
        """Commit an experiment's candidate, entered in the ledger first; `gain` says in the message what it gave."""
        experiment = self._book.experiments[decided.experiment]
        candidate = await self._repo.candidate(experiment.n) or experiment.candidate.commit
        message = _message(experiment, run_id, gain, decided.reflection)
        with anyio.CancelScope(shield=True):
            commit = await self._repo.prepare_keep(candidate, message)
            await self._record.append(DECIDED, decided.model_copy(update={"kept_commit": commit}))
            await self._repo.keep(commit)

    async def _drop(self, experiment: Experiment, lesson: str) -> None:
        if experiment.decision is Decision.KEEP or (experiment.decision and experiment.reason == lesson):
            return
        is_crash = bool(experiment.runs) and bool(self._book.runs[experiment.runs[-1]].crash)
        decision = Decision.CRASH if is_crash else Decision.REVERT
        await self._record.append(DECIDED, Decided(experiment=experiment.n, decision=decision, reason=lesson))

    async def _save(self, experiment: Experiment, editable: Editable) -> str:
        """See that the experiment's ref holds the files byte for byte (comments make no candidate of their own)."""
        commit = await self._repo.candidate(experiment.n)
        if commit is None or await self._repo.at(commit) != editable:
            commit = (await self._repo.snapshot(experiment.n, editable, experiment.description)).commit
        return commit

    async def _finish_keep(self, incumbent: Experiment) -> None:
        commit = _kept(incumbent)
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
            )
            await self._record.append(DECIDED, decided)
        await self._repo.keep(commit)

    async def _finish_revert(self, dropped: Experiment, incumbent: Experiment) -> None:
        """Go on with a revert that ended between two files: some are the candidate's, the others the incumbent's."""
        commit = await self._repo.candidate(dropped.n)
        if commit is None:
            return
        now = await self._repo.read()
        target = await self._repo.at(_kept(incumbent))
        candidate = await self._repo.at(commit)
        names = {*now.files, *target.files, *candidate.files}
        is_mixed = all(now.files.get(name) in (target.files.get(name), candidate.files.get(name)) for name in names)
        if is_mixed and now.files not in (target.files, candidate.files):
            await self._repo.revert(_kept(incumbent), replacing=now)

    def _suite_run(self, experiment: Experiment | None, fingerprint: str) -> RunRecord:
        """Return the suite run that speaks for the working files."""
        self._refuse_running(experiment)
        if experiment is None:
            raise DecisionRefused(
                "agent.py and .agent/ as they are now were never measured: they were edited after the last run.",
                "Call run_suite first.",
            )
        record = self._book.run_of(experiment.n, fingerprint)
        if record is not None:
            return record
        if (last := self.last_suite_run(experiment)) is not None:
            raise NotComparableError(
                f"Since run {last.run.id} the tasks, the model, the backend or the limits were changed.",
                "Call run_suite again; it measures the harness on the suite as it is now.",
            )
        raise DecisionRefused("This change was only spot-checked, which never keeps one.", "Call run_suite first.")

    def _refuse_running(self, experiment: Experiment | None) -> None:
        active = self._runs.active
        if experiment is not None and active is not None and active.candidate == experiment.candidate.tree:
            raise DecisionRefused(
                f"Run {active.id} of this change still goes on.",
                f'Call wait_run(run="{active.id}") or cancel_run(run="{active.id}") first.',
            )

    def last_suite_run(self, experiment: Experiment) -> RunRecord | None:
        """Return an experiment's newest run of a whole suite."""
        records = [self._book.runs[run] for run in experiment.runs]
        return next((one for one in reversed(records) if one.run.kind is RunKind.SUITE), None)

    def _last_open(self) -> Experiment | None:
        """The newest experiment, where it is not decided yet."""
        last = self._book.experiments[-1]
        return last if last.decision is None else None

    async def _compare(self, before: RunRecord, now: RunRecord) -> Comparison:
        experiments = self._book.experiments
        return compare(
            await self._record.score(before),
            await self._record.score(now),
            complexity_before=experiments[before.experiment].candidate.complexity,
            complexity_now=experiments[now.experiment].candidate.complexity,
        )


def _kept(incumbent: Experiment) -> str:
    if incumbent.kept_commit is None:
        raise RepoError(f"Experiment {incumbent.n} was kept without a commit.", "The ledger was changed from outside.")
    return incumbent.kept_commit


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


def _gain(record: RunRecord, comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    return (
        f"Passed {comparison.passed_now} of {record.score.trials} trials, before {comparison.passed_before}; "
        f"syntax nodes {comparison.complexity_now}, before {comparison.complexity_before}.\n"
        f"Solved: {', '.join(comparison.solved) or 'none'}. Broken: {', '.join(comparison.broken) or 'none'}."
    )


def _points(judgement: Judgement) -> str:
    return (
        f"{judgement.difference_points:+.1f} points of the pass rate "
        f"(95 % interval {judgement.low_points:+.1f} to {judgement.high_points:+.1f})"
    )
