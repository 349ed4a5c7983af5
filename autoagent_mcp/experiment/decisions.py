"""What the rules allow, and the way back."""

from __future__ import annotations

import anyio

from autoagent_mcp._text import quote
from autoagent_mcp.errors import DecisionRefused, NotComparableError
from autoagent_mcp.experiment.book import DECIDED, Book, RunRecord
from autoagent_mcp.experiment.comparison import compare
from autoagent_mcp.experiment.decision import decide, open_door
from autoagent_mcp.experiment.keeper import Keeper, commit_of
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.harness import boundary
from autoagent_mcp.models.author import Author
from autoagent_mcp.models.experiment import Comparison, Decided, Decision, Experiment, Outcome, Verdict
from autoagent_mcp.models.run import Run, RunKind

_UNMEASURED = "Reverted without having been measured."
CRASH_CHARS = 300
"""Of what a harness said as it broke; the run has more of it."""


class Decisions:
    """Decides about candidates."""

    def __init__(self, shared: Shared, keeper: Keeper) -> None:
        self._keeper = keeper
        self._model = shared.bench.config.model.name
        self._by_reward = shared.bench.config.decision.counts == "reward"
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
        if record is not None and run.kind is RunKind.CONFIRM:  # its arms are compared, not all that it tried
            return await self._record.comparison(record)
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
            return Verdict(decision=Decision.CRASH, reason=quote(record.crash, CRASH_CHARS))
        if not record.is_measured:
            unmeasured = record.score.unmeasured
            what = f"{unmeasured} of its trials measured nothing" if unmeasured else quote(run.error, CRASH_CHARS)
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
        review = self._book.duel_of(RunKind.REVIEW, record.experiment, self._book.baseline.n, run.suite.fingerprint)
        judgement = self._book.judged(review.run.id) if review else None
        if judgement is not None and judgement.outcome is Outcome.REFUSED:
            return Verdict(decision=Decision.REVERT, reason=f"It was rolled back. {judgement.reason}")
        tallies = self._book.tallies(incumbent.n, run.suite.fingerprint, by_reward=self._by_reward)
        return open_door(await self._record.score(record), tallies, comparison, by_reward=self._by_reward)

    def require_incumbent(self) -> Experiment:
        """Return the incumbent.

        Raises:
            DecisionRefused: There is none yet.
        """
        if self._book.incumbent is None:
            raise DecisionRefused("There is no baseline yet.", "Call run_suite with the unmodified agent.py first.")
        return self._book.incumbent

    async def door(self, fingerprint: str) -> RunRecord | None:
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
            await self._keeper.finish()
            if editable != await self._repo.at(commit_of(incumbent)):
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
        await self._keeper.save(self._book.experiments[record.experiment], editable)
        return record

    async def keep_at_once(self, record: RunRecord, reflection: str, author: Author | None) -> None:
        """Keep, by the seed's rule, what one suite run shows. Raises: see `door`."""
        comparison = await self.comparison(record.run)
        decided = Decided(
            experiment=record.experiment,
            decision=Decision.KEEP,
            reason=(await self.verdict(record)).reason,
            reflection=reflection,
            author=author,
        )
        await self._keeper.keep(decided, _gain(record, comparison), record.run.id)

    async def revert(self, lesson: str, author: Author | None = None) -> Experiment:
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
        target = await self._repo.at(commit_of(incumbent))
        found = self._book.by_identity(boundary.identity(editable.files))
        if editable == target or (found is not None and found.n == incumbent.n):
            experiment = self._last_open()
        else:
            experiment = found or await self._record.begin(editable, _UNMEASURED, author)
        self._refuse_running(experiment)
        with anyio.CancelScope(shield=True):
            if editable != target:
                await self._keeper.save(experiment or incumbent, editable)
            if experiment is not None:
                await self._drop(experiment, lesson, author)
            if editable != target:
                await self._repo.revert(commit_of(incumbent), replacing=editable)
        if experiment is None:
            return self._book.last_decided or incumbent
        return self._book.experiments[experiment.n]

    async def _drop(self, experiment: Experiment, lesson: str, author: Author | None) -> None:
        if experiment.decision is Decision.KEEP or (experiment.decision and experiment.reason == lesson):
            return
        is_crash = bool(experiment.runs) and bool(self._book.runs[experiment.runs[-1]].crash)
        decision = Decision.CRASH if is_crash else Decision.REVERT
        decided = Decided(experiment=experiment.n, decision=decision, reason=lesson, author=author)
        await self._record.append(DECIDED, decided)

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


def _gain(record: RunRecord, comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    return (
        f"Passed {comparison.passed_now} of {record.score.trials} trials, before {comparison.passed_before}; "
        f"syntax nodes {comparison.complexity_now}, before {comparison.complexity_before}.\n"
        f"Solved: {', '.join(comparison.solved) or 'none'}. Broken: {', '.join(comparison.broken) or 'none'}."
    )
