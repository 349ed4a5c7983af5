"""How a run of the harness as it is now begins: what was measured before is not measured again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from autoagent_mcp.errors import RepoError
from autoagent_mcp.experiment.guards import Guards
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.experiment.spending import Spending
from autoagent_mcp.harness import boundary
from autoagent_mcp.models.author import Author
from autoagent_mcp.models.experiment import Experiment
from autoagent_mcp.models.run import Prediction, Run, RunKind, Suite
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Arm
from autoagent_mcp.repo import Editable
from autoagent_mcp.run.run import RunRequest


@dataclass(frozen=True)
class Wanted:
    """Which run is wanted."""

    kind: RunKind
    description: str
    tasks: tuple[Task, ...]
    suite: Suite
    prediction: Prediction | None = None
    author: Author | None = None


class Starter:
    """Starts suite runs and spot checks."""

    def __init__(self, shared: Shared, guards: Guards, spending: Spending) -> None:
        self._shared = shared
        self._bench = shared.bench
        self._record = shared.record
        self._repo = shared.record.repo
        self._runs = shared.runs
        self._guards = guards
        self._spending = spending

    async def start(self, wanted: Wanted) -> Run:
        """Start the run, or return the one that did measure the same or does so.

        Raises:
            HarnessError: The harness cannot be measured as it is.
            DecisionRefused: No run may start.
            BusyError: Another run goes on.
            RepoError, LedgerError: Git or the ledger hinder it.
        """
        book, suite = self._record.book, wanted.suite
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
        self._spending.check(is_new_experiment=experiment is None)
        experiment = experiment or await self._record.begin(editable, wanted.description, wanted.author)
        request = RunRequest(
            id=known.run.id if known else self._runs.next_id(),
            kind=wanted.kind,
            description=known.run.description if known else wanted.description,
            candidate=experiment.candidate.tree,
            harnesses={Arm.CANDIDATE: (await self._repo.at(experiment.candidate.commit)).files},
            tasks=wanted.tasks,
            suite=suite,
            prediction=known.run.prediction if known else wanted.prediction if self._is_change(experiment) else None,
            allowance=self._spending.left(known.run.id if known else None),
            notices=await self._guards.look_at(editable.files),
        )
        return self._runs.start(request.started(), experiment.n, partial(self._shared.measure, request, self._bench))

    def _is_change(self, experiment: Experiment) -> bool:
        incumbent = self._record.book.incumbent
        return incumbent is not None and experiment.n != incumbent.n

    async def _check_unmodified(self, editable: Editable) -> None:
        if await self._repo.at("HEAD") != editable:
            raise RepoError(
                "agent.py or .agent/ differ from what is committed, and the first run must be the unmodified baseline.",
                "Put your change aside until the baseline is measured (git stash), or commit it as the baseline.",
            )


def _is_of(active: Run, experiment: Experiment, suite: Suite) -> bool:
    return active.candidate == experiment.candidate.tree and active.suite.fingerprint == suite.fingerprint
