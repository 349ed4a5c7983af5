"""Keep by evidence: a change beside the incumbent in fresh trials, as a run in the background that decides at its end.

What was measured is never measured again: a run that was killed, cut or left undecided is taken up where it stopped,
and a change that was refused stays refused.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import anyio
import anyio.to_thread

from autoagent_mcp.errors import AutoagentError, DecisionRefused
from autoagent_mcp.experiment import duel as duels
from autoagent_mcp.experiment.book import JUDGED, Book, RunRecord
from autoagent_mcp.experiment.decisions import Decisions
from autoagent_mcp.experiment.evidence import ROUNDS
from autoagent_mcp.experiment.hidden import HiddenPairs
from autoagent_mcp.experiment.keeper import Keeper
from autoagent_mcp.experiment.race import State
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.experiment.spending import Spending
from autoagent_mcp.models.author import Author
from autoagent_mcp.models.experiment import Experiment, Judged, Judgement, Outcome
from autoagent_mcp.models.run import Duel, Run, RunKind, RunState
from autoagent_mcp.models.trial import Arm
from autoagent_mcp.run.run import Report, RunRequest

REVIEW_EVERY = 3
"""After so many provisional keeps the champion is tested against the baseline."""
_KEPT = {Outcome.KEPT, Outcome.PROVISIONAL}
_log = logging.getLogger(__name__)


@dataclass
class _Case:
    """A duel while it goes on."""

    request: RunRequest
    duel: Duel
    champion: Experiment
    asks_hidden: bool = True
    is_vetoed: bool | None = None
    """Whether the hidden tasks speak against it; None while they had no say."""


class Confirmation:
    """Decides about changes by what fresh trials show."""

    def __init__(self, shared: Shared, decisions: Decisions, keeper: Keeper, spending: Spending) -> None:
        self._bench = shared.bench
        self._record = shared.record
        self._runs = shared.runs
        self._suites = shared.suites
        self._measure = shared.measure
        self._changing = shared.changing
        self._by_reward = shared.bench.config.decision.counts == "reward"
        self._decisions = decisions
        self._keeper = keeper
        self._spending = spending
        self._hidden = shared.hidden
        self._watch = shared.watch

    @property
    def _book(self) -> Book:
        return self._record.book

    async def keep(self, door: RunRecord, reflection: str, author: Author | None = None) -> Run | None:
        """Let a change that passed the door show what it is worth.

        Args:
            door: Its run of the suite as it is now.
            reflection: The client's words for the keep.
            author: Who asks.

        Returns:
            The run that goes on now; None where the matter is settled: the experiment has the judgement.

        Raises:
            BusyError: Another run goes on.
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        incumbent = self._decisions.require_incumbent()
        experiment = self._book.experiments[door.experiment]
        known = self._book.duel_of(RunKind.CONFIRM, experiment.n, incumbent.n, door.run.suite.fingerprint)
        judgement = self._book.judged(known.run.id) if known else None
        if known is not None and judgement is not None and judgement.outcome is not Outcome.UNDECIDED:
            await self._carry_out(known.run, judgement)
            return None
        self._runs.check_idle()
        self._spending.check()
        duel = await self._take_up(known) if known else await self.draw(door, reflection, author)
        request = await self._request(RunKind.CONFIRM, known, duel, champion=experiment, opponent=incumbent)
        notices = (f"This takes {duels.most_text(duel, door.score)}.", *door.run.notices)
        return self._start(_Case(replace(request, notices=notices), duel, experiment))

    async def draw(self, door: RunRecord, reflection: str = "", author: Author | None = None) -> Duel:
        """Lay down what a change has to show, with the most trials that it may take."""
        incumbent = self._decisions.require_incumbent()
        score = await self._record.score(door)
        by_reward = self._by_reward
        tallies = self._book.tallies(incumbent.n, door.run.suite.fingerprint, by_reward=by_reward)
        candidate = self._book.experiments[door.experiment].candidate
        is_simpler = candidate.complexity < incumbent.candidate.complexity
        duel = duels.draw(
            incumbent.n, score.tasks, tallies, is_simpler=is_simpler, by_reward=by_reward, reflection=reflection
        )
        return duel.model_copy(update={"author": author})

    async def review(self, rounds: int = ROUNDS, *, asks_hidden: bool = True) -> Run:
        """Try the incumbent beside the baseline, on the suite as it is now; see `duel.judge_review`.

        What was kept provisionally is tested until it is confirmed or beaten, which decides. What was kept for good is
        measured in so many rounds, which decides nothing: it tells a person what may be believed.

        Args:
            rounds: Pairs of each task, of which a test may need fewer. Asked again, there are so many more.
            asks_hidden: Whether the hidden tasks have their say, too: each time tells one bit more of them.

        Raises:
            DecisionRefused: Nothing was kept yet.
            BusyError: Another run goes on.
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        champion, baseline = self._decisions.require_incumbent(), self._book.baseline
        if champion.n == baseline.n:
            raise DecisionRefused("The incumbent is the baseline itself.", "There is nothing to review before a keep.")
        self._runs.check_idle()
        self._spending.check()
        is_fixed_size = not champion.is_provisional
        known = self._book.duel_of(RunKind.REVIEW, champion.n, baseline.n, self._suites.whole.fingerprint)
        if known is not None and is_fixed_size and not (known.run.duel and known.run.duel.is_fixed_size):
            known = None  # what confirmed it was ended when it looked well
        if known is None:
            duel = duels.draw_review(
                baseline.n, self._suites.scored, by_reward=self._by_reward, rounds=rounds, is_fixed_size=is_fixed_size
            )
        else:
            duel = await self._take_up(known, rounds)
        request = await self._request(RunKind.REVIEW, known, duel, champion=champion, opponent=baseline)
        return self._start(_Case(request, duel, champion, asks_hidden=asks_hidden))

    async def hidden_pairs(self, run: Run) -> HiddenPairs | None:
        """Return what a review showed on the hidden tasks; None where they were not asked. For nobody but a person."""
        judgement = self._book.judged(run.id)
        is_asked = judgement is not None and judgement.is_worse_on_hidden is not None
        return await self._hidden.pairs(run.id) if self._hidden is not None and is_asked else None

    async def finish(self) -> None:
        """Carry out what was judged last, where a server was killed before it had done so.

        Raises:
            DecisionRefused: Something was changed from outside, and nobody has accepted it.
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        pending = self._book.pending
        judgement = self._book.judged(pending) if pending else None
        if pending and judgement is not None:
            await self._require_accepted()
            await self._carry_out(self._book.runs[pending].run, judgement)

    async def _take_up(self, known: RunRecord, rounds: int = ROUNDS) -> Duel:
        """Go on with a duel; one that has used up its rounds, and was judged, gets more of them."""
        run = await self._record.run(known)
        duel = known.run.duel
        if duel is None:
            raise RuntimeError(f"run {run.id} is no duel")
        ended = {State.UNDECIDED, State.PROVISIONAL}
        if duel.is_fixed_size:
            ended |= {State.CONFIRMED, State.BEATEN}
        is_used_up = self._book.judged(run.id) and duels.stand(duel, run.trials, run.kind).state in ended
        return duels.grant(duel, rounds) if is_used_up else duel

    async def _request(
        self, kind: RunKind, known: RunRecord | None, duel: Duel, *, champion: Experiment, opponent: Experiment
    ) -> RunRequest:
        run_id = known.run.id if known else self._runs.next_id()
        files = {Arm.CANDIDATE: await self._files(champion), Arm.INCUMBENT: await self._files(opponent)}
        return RunRequest(
            id=run_id,
            kind=kind,
            description=f"{kind.value}: {champion.description}",
            candidate=champion.candidate.tree,
            harnesses=files,
            tasks=self._suites.tasks,
            suite=self._suites.whole,
            duel=duel,
            allowance=self._spending.left(run_id),
            schedule=duels.pairing(duel, kind, run_id),
        )

    async def _files(self, one: Experiment) -> Mapping[str, bytes]:
        return (await self._record.repo.at(one.kept_commit or one.candidate.commit)).files

    def _start(self, case: _Case) -> Run:
        async def work(report: Report) -> Run:
            return await self._work(case, report)

        async def conclude(run: Run) -> None:
            async with self._changing:
                await self._conclude(case, run)

        return self._runs.start(case.request.started(), case.champion.n, work, conclude)

    async def _work(self, case: _Case, report: Report) -> Run:
        """Pair until it is proven or not; then ask the hidden tasks; then measure the score."""
        request = case.request
        run = await self._measure(request, self._bench, report)
        is_proven = duels.stand(case.duel, run.trials, run.kind).state is State.PROVEN
        if request.kind is RunKind.REVIEW:
            if case.asks_hidden and self._hidden is not None and run.state is RunState.COMPLETE:
                case.is_vetoed = await self._is_vetoed(request, run)
            return run
        if run.state is not RunState.COMPLETE or not is_proven:
            return run
        case.is_vetoed = await self._is_vetoed(request, run)
        if case.is_vetoed:
            return run
        candidate = request.harnesses[Arm.CANDIDATE]
        scoring = replace(
            request,
            harnesses={Arm.SCORE: candidate},
            schedule=duels.scoring(self._suites.scored),
            allowance=self._spending.left(request.id),  # the hidden tasks have taken some
        )
        return await self._measure(scoring, self._bench, report)

    async def _is_vetoed(self, request: RunRequest, run: Run) -> bool:
        if self._hidden is None:
            return False
        candidate, incumbent = request.harnesses[Arm.CANDIDATE], request.harnesses[Arm.INCUMBENT]
        return await self._hidden.is_worse(request.id, candidate, incumbent, self._spending.left(run.id, beside=run))

    async def _conclude(self, case: _Case, run: Run) -> None:
        await self._require_accepted()
        if run.kind is RunKind.REVIEW:
            is_broken_off = case.asks_hidden and self._hidden is not None and case.is_vetoed is None
            if run.state is RunState.COMPLETE and not is_broken_off:
                reviewing = partial(duels.judge_review, run, case.duel, is_worse_on_hidden=case.is_vetoed)
                await self._judge(run, await anyio.to_thread.run_sync(reviewing))
            return
        state = duels.stand(case.duel, run.trials, run.kind).state
        if run.state not in {RunState.COMPLETE, RunState.CUT} and state is not State.HOPELESS:
            return
        if state is State.PROVEN and case.is_vetoed is None:  # broken off while the hidden tasks had their say
            return
        cheats = self._book.experiments[case.champion.n].cheats
        judging = partial(duels.judge, run, case.duel, is_vetoed=bool(case.is_vetoed), cheats=cheats)
        await self._judge(run, await anyio.to_thread.run_sync(judging))

    async def _require_accepted(self) -> None:
        """See that nothing was changed from outside: nothing is decided before a person has looked at it."""
        await self._watch.look(self._suites.usable, self._suites.usable_hidden)
        self._watch.require_accepted()

    async def _judge(self, run: Run, judgement: Judgement) -> None:
        await self._record.append(JUDGED, Judged(run=run.id, judgement=judgement))
        await self._carry_out(run, judgement)

    async def _carry_out(self, run: Run, judgement: Judgement) -> None:
        """Do what follows from a judgement, as far as it is still about the incumbent; may be repeated."""
        incumbent = self._decisions.require_incumbent()
        experiment = self._book.experiments[self._book.runs[run.id].experiment]
        if run.duel is None:
            return
        if run.kind is RunKind.REVIEW:
            if experiment.n == incumbent.n and not run.duel.is_fixed_size:
                await self._carry_out_review(experiment, judgement)
        elif judgement.outcome in _KEPT and run.duel.opponent == incumbent.n:
            await self._keeper.keep_confirmed(experiment, run, judgement, run.duel)
            if self._book.provisional >= REVIEW_EVERY:
                self._runs.afterwards(self._begin_review)

    async def _begin_review(self) -> None:
        try:
            async with self._changing:
                await self.review(asks_hidden=False)
        except AutoagentError:
            _log.exception("The review that is due could not begin; it will after the next keep")

    async def _carry_out_review(self, champion: Experiment, judgement: Judgement) -> None:
        if judgement.outcome is Outcome.KEPT:
            await self._keeper.confirm(champion, judgement)
        elif judgement.outcome is Outcome.REFUSED:
            await self._keeper.roll_back(champion, judgement)
