"""Where we are and what is to be done next, in words."""

from __future__ import annotations

from collections import Counter

import anyio
import anyio.to_thread

from autoagent_mcp._text import quote
from autoagent_mcp.errors import AutoagentError, DecisionRefused, NotComparableError
from autoagent_mcp.experiment import brief as brief_room
from autoagent_mcp.experiment import duel as duels
from autoagent_mcp.experiment import escalation
from autoagent_mcp.experiment.book import RunRecord
from autoagent_mcp.experiment.confirm import Confirmation
from autoagent_mcp.experiment.decisions import CRASH_CHARS, Decisions
from autoagent_mcp.experiment.directive import directive
from autoagent_mcp.experiment.failing import Cause, by_cause
from autoagent_mcp.experiment.guards import Guards
from autoagent_mcp.experiment.learnt import Learnt, learn
from autoagent_mcp.experiment.provable import SEED_RULE, provable
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.experiment.spending import Spending
from autoagent_mcp.experiment.stopping import stopped
from autoagent_mcp.harness import boundary
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.experiment import Brief, Decision, Experiment, Outcome, Verdict
from autoagent_mcp.models.run import Run, RunKind
from autoagent_mcp.models.trial import Arm

_IMPROVE = (
    "This is the incumbent. Read the traces of what fails (read_run, read_trace), edit agent.py above its fixed "
    "boundary, spot_check it, then call run_suite."
)
_ELSEWHERE = "Go on there, or call get_brief again: this server takes over when that one is gone."
_disk = anyio.CapacityLimiter(1)
_LOOKED_AT = 4
"""Why tasks fail is read from so many of the incumbent's newest runs."""


class _Known(Frozen):
    """What is made of the whole ledger, and so made once for each of its lengths."""

    causes: tuple[Cause, ...]
    learnt: Learnt
    idea: str
    authors: tuple[tuple[str, int], ...]
    """Who began how many experiments, where that is known; who began most comes first."""


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

        self._known: tuple[int, _Known] | None = None
        self._failing: tuple[tuple[int, ...], tuple[Cause, ...]] = (), ()

    async def brief(self) -> Brief:
        """Say where we are and what is next."""
        book, config = self._record.book, self._bench.config
        running = await self._runs.current()
        working, following = await self._standing(running)
        known = await self._know()
        hidden = self._hidden.notices if self._hidden is not None else ()
        return brief_room.write(
            brief_room.State(
                goal=await anyio.to_thread.run_sync(directive, self._bench.workspace, limiter=_disk),
                incumbent=book.incumbent,
                lineage=book.lineage(brief_room.CHANGES_SHOWN),
                changes=book.changes,
                causes=known.causes,
                experiments=len(book.experiments),
                kept=book.kept,
                last=tuple(book.experiments[: -brief_room.SHOWN - 1 : -1]),
                learnt=known.learnt,
                authors=known.authors,
                provable=await self._provable(),
                running=running,
                progress=await self._runs.progress(running.id) if running else None,
                budget=self._spending.text(),
                working=working,
                next=self._unless_done(following),
                excluded=len(self._suites.whole.excluded),
                tasks=len(self._suites.tasks),
                model=f"{config.model.provider}/{config.model.name}",
                backend=self._bench.backend.name,
                notices=(*self._notices(), *hidden, *self._suites.whole.notices),
            )
        )

    async def now(self) -> str:
        """Say what is next, as the brief does."""
        return self._unless_done((await self._standing(await self._runs.current()))[1])

    def _unless_done(self, following: str) -> str:
        done = self.done()
        return f"Done: {done}" if done else following

    def done(self) -> str:
        """Say why the work is over: a person said stop, or a budget is used up; empty while there is anything to do."""
        if said := stopped(self._bench.workspace):
            return said
        if self._runs.active is not None:
            return ""
        experiments = self._record.book.experiments
        is_open = bool(experiments) and experiments[-1].decision is None
        return self._spending.refusal(is_new_experiment=not is_open)

    async def idea(self) -> str:
        """Say which kind of change to try next, after some that were not kept; empty after a keep."""
        return (await self._know()).idea

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
            return await self._after_duel(record)
        if record.experiment != incumbent.n:
            return await self._after_suite(record)
        improve = await self._improve()
        return improve if incumbent.parent else f"{await self._provable()} {improve}"

    async def _improve(self) -> str:
        return f"{_IMPROVE} {await self.idea()}".rstrip()

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
            return f"It was refused. {judgement.reason} {await self.after_refusal()}"
        call = "Call keep_change(reflection=...), if agent.py was not edited since"
        if self._bench.config.decision.rule == "seed":
            return f"{verdict.reason} {call}."
        most = duels.most_text(await self._confirmation.draw(record), record.score)
        return (
            f"{verdict.reason} {call}: it tries the change beside the incumbent in fresh trials ({most}), and keeps it "
            "only if they prove it."
        )

    async def after_refusal(self) -> str:
        """Say what to do about a change that was not kept."""
        return f"Call revert_change(lesson=...) and try another idea. {await self.idea()}".rstrip()

    async def _after_duel(self, record: RunRecord) -> str:
        judgement = self._record.book.judged(record.run.id)
        if judgement is None:
            again = "Call keep_change" if record.run.kind is RunKind.CONFIRM else "A person calls autoagent-mcp review"
            return f"It is not decided yet. {again} again: only what is missing is run."
        following = await self._improve()
        if record.run.kind is not RunKind.REVIEW:
            following = {
                Outcome.KEPT: following,
                Outcome.PROVISIONAL: following,
                Outcome.REFUSED: await self.after_refusal(),
                Outcome.UNDECIDED: "Call keep_change again for more of the same, or revert_change(lesson=...).",
            }[judgement.outcome]
        return f"{judgement.outcome.value.capitalize()}. {judgement.reason} {following}"

    async def _standing(self, running: Run | None) -> tuple[str, str]:
        """Say how the files in the working tree stand, and what follows."""
        book = self._record.book
        if running is not None:
            return "", f'Call wait_run(run="{running.id}").'
        if not self._record.ledger.writable:
            return "", _ELSEWHERE
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
            return "The working files are the incumbent's.", await self._improve()
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

    async def _know(self) -> _Known:
        book, length = self._record.book, self._record.length
        if self._known is None or self._known[0] != length:
            causes = await self._causes(book.incumbent) if book.incumbent else ()
            learnt = learn(book.experiments, {task.name for cause in causes for task in cause.tasks})
            authors = Counter(one.author.text for one in book.experiments if one.author)
            known = _Known(
                causes=causes,
                learnt=learnt,
                idea=escalation.advise(book.experiments, learnt.near_misses),
                authors=tuple(sorted(authors.items(), key=lambda item: (-item[1], item[0]))),
            )
            self._known = length, known
        return self._known[1]

    async def _causes(self, incumbent: Experiment) -> tuple[Cause, ...]:
        """Say why the incumbent's own trials on its suite fail, by its newest runs."""
        last = self._decisions.last_suite_run(incumbent)
        runs = (self._record.book.runs[run] for run in incumbent.runs)
        alike = [one for one in runs if last is not None and one.run.suite.fingerprint == last.run.suite.fingerprint]
        newest = alike[-_LOOKED_AT:]
        entries = tuple(one.trials_seq for one in newest)
        if self._failing[0] != entries:
            trials = [trial for one in newest for trial in (await self._record.run(one)).trials]
            self._failing = entries, by_cause(trial for trial in trials if trial.arm is not Arm.INCUMBENT)
        return self._failing[1]

    def _notices(self) -> list[str]:
        ledger = self._record.ledger
        return [*self._watch.notices, *ledger.notices, *filter(None, (ledger.standing,))]
