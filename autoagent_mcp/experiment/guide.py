"""Where we are and what is to be done next, in words."""

from __future__ import annotations

import anyio.to_thread

from autoagent_mcp._text import quote
from autoagent_mcp.errors import AutoagentError, DecisionRefused, NotComparableError
from autoagent_mcp.experiment import brief as brief_room
from autoagent_mcp.experiment import duel as duels
from autoagent_mcp.experiment.book import RunRecord
from autoagent_mcp.experiment.confirm import Confirmation
from autoagent_mcp.experiment.decisions import CRASH_CHARS, Decisions
from autoagent_mcp.experiment.guards import Guards
from autoagent_mcp.experiment.learnt import learn
from autoagent_mcp.experiment.provable import SEED_RULE, provable
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.experiment.spending import Spending
from autoagent_mcp.harness import boundary
from autoagent_mcp.models.experiment import Brief, Decision, Experiment, Outcome, Verdict
from autoagent_mcp.models.run import Run, RunKind

_IMPROVE = (
    "This is the incumbent. Read the traces of what fails (read_run, read_trace), edit agent.py above its fixed "
    "boundary, spot_check it, then call run_suite."
)


class Guide:
    """Reads the state and says what follows from it."""

    def __init__(
        self, shared: Shared, decisions: Decisions, confirmation: Confirmation, guards: Guards, spending: Spending
    ) -> None:
        self._bench = shared.bench
        self._record = shared.record
        self._runs = shared.runs
        self._suites = shared.suites
        self._decisions = decisions
        self._confirmation = confirmation
        self._hidden = shared.hidden
        self._watch = shared.watch
        self._guards = guards
        self._spending = spending

    async def brief(self) -> Brief:
        """Say where we are and what is next."""
        book, config = self._record.book, self._bench.config
        active = self._runs.active
        working, following = await self._standing()
        failing = await self._failing(book.incumbent)
        hidden = self._hidden.notices if self._hidden is not None else ()
        return brief_room.write(
            brief_room.State(
                incumbent=book.incumbent,
                failing=failing,
                experiments=len(book.experiments),
                kept=book.kept,
                last=tuple(book.experiments[: -brief_room.SHOWN - 1 : -1]),
                learnt=learn(book.experiments, failing),
                provable=await self._provable(),
                running=active,
                progress=self._runs.progress(active.id) if active else None,
                budget=self._spending.text(),
                working=working,
                next=following,
                excluded=len(self._suites.whole.excluded),
                tasks=len(self._suites.tasks),
                model=f"{config.model.provider}/{config.model.name}",
                backend=self._bench.backend.name,
                notices=(*self._notices(), *hidden, *self._suites.whole.notices),
            )
        )

    async def next_step(self, run: Run) -> str:
        """Say what to do after a suite run, a confirm run or a review."""
        book = self._record.book
        record, incumbent = book.runs.get(run.id), book.incumbent
        if record is not None and record.crash and incumbent is None:
            crash = quote(record.crash, CRASH_CHARS)
            return f"{crash} That is no baseline: mend agent.py (or autoagent.toml), commit it, call run_suite."
        if record is None or incumbent is None:
            return "Call get_brief for the next step."
        if run.kind in {RunKind.CONFIRM, RunKind.REVIEW}:
            return self._after_duel(record)
        if record.experiment != incumbent.n:
            return await self._after_suite(record)
        return _IMPROVE if incumbent.parent else f"{await self._provable()} {_IMPROVE}"

    async def _after_suite(self, record: RunRecord) -> str:
        try:
            verdict = await self._decisions.verdict(record)
        except (DecisionRefused, NotComparableError) as error:
            return str(error)
        if verdict.decision is Decision.KEEP:
            return await self._how_to_keep(record, verdict)
        return f"{verdict.reason} Call revert_change(lesson=...), or edit agent.py and call run_suite again."

    async def _how_to_keep(self, record: RunRecord, verdict: Verdict) -> str:
        judgement = self._record.book.experiments[record.experiment].judgement
        if judgement is not None and judgement.outcome is Outcome.REFUSED:
            return f"It was refused. {judgement.reason} Call revert_change(lesson=...)."
        call = "Call keep_change(reflection=...), if agent.py was not edited since"
        if self._bench.config.decision.rule == "seed":
            return f"{verdict.reason} {call}."
        most = duels.most_text(await self._confirmation.draw(record), record.score)
        return (
            f"{verdict.reason} {call}: it tries the change beside the incumbent in fresh trials ({most}), and keeps it "
            "only if they prove it."
        )

    def _after_duel(self, record: RunRecord) -> str:
        judgement = self._record.book.judged(record.run.id)
        if judgement is None:
            again = "Call keep_change" if record.run.kind is RunKind.CONFIRM else "Run autoagent-mcp review"
            return f"It is not decided yet. {again} again: only what is missing is run."
        following = {
            Outcome.KEPT: _IMPROVE,
            Outcome.PROVISIONAL: _IMPROVE,
            Outcome.REFUSED: "Call revert_change(lesson=...) and try another idea.",
            Outcome.UNDECIDED: "Call keep_change again for more of the same, or revert_change(lesson=...).",
        }[judgement.outcome]
        if record.run.kind is RunKind.REVIEW:
            following = _IMPROVE
        return f"{judgement.outcome.value.capitalize()}. {judgement.reason} {following}"

    async def _standing(self) -> tuple[str, str]:
        """Say how the files in the working tree stand, and what follows."""
        book, active = self._record.book, self._runs.active
        if active is not None:
            return "", f'Call wait_run(run="{active.id}").'
        if book.incumbent is None:
            return "", "Call run_suite to measure the unmodified baseline."
        try:
            editable = await self._record.repo.read()
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
        record = self._record.book.run_of(found.n, self._suites.whole.fingerprint)
        standing = f"The working files are experiment {found.n}'s."
        if record is None:
            return standing, "Call run_suite, or revert_change if the spot check was bad."
        return standing, await self.next_step(record.run)

    async def _provable(self) -> str:
        """Say what a decision here is worth, as soon as the baseline is measured."""
        score = self._record.book.baseline.score if self._record.book.incumbent else None
        tasks = len(self._suites.scored)
        if score is None or not score.trials or not tasks:
            return ""
        if self._bench.config.decision.rule == "seed":
            return SEED_RULE
        cost_usd = score.usage.cost_usd

        def reckon() -> str:
            cost = None if cost_usd is None else cost_usd / score.trials
            return provable(tasks, pass_rate=score.passed / score.trials, trial_cost_usd=cost)

        return await anyio.to_thread.run_sync(reckon)

    async def _failing(self, incumbent: Experiment | None) -> tuple[str, ...]:
        """Tasks that the incumbent does not always pass."""
        last = self._decisions.last_suite_run(incumbent) if incumbent else None
        tasks = (await self._record.score(last)).tasks if last and last.is_measured else ()
        return tuple(task.task for task in tasks if task.passed < task.attempts)

    def _notices(self) -> list[str]:
        ledger = self._record.ledger
        return [
            *self._watch.notices,
            *ledger.notices,
            *([] if ledger.writable else ["Another server works here; this one only reads."]),
        ]
