"""What the workspace's budget still allows, hidden tasks included."""

from __future__ import annotations

from autoagent_mcp.errors import DecisionRefused
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.models.run import Run
from autoagent_mcp.models.trial import Usage
from autoagent_mcp.run.allowance import Allowance, allowance, left_text, refusal


class Spending:
    """Adds up what all runs took."""

    def __init__(self, shared: Shared) -> None:
        self._budget = shared.bench.config.budget
        self._record = shared.record
        self._hidden = shared.hidden

    def left(self, run_id: str | None = None, *, beside: Run | None = None) -> Allowance:
        """Return what is left.

        Args:
            run_id: A run that counts its own, so that what it took is not counted here.
            beside: What it took so far, where that is to be counted for somebody else.
        """
        runs = [*self._visible(run_id), *([beside] if beside is not None else [])]
        return self._left(runs, self._hidden.spent if self._hidden else None)

    def check(self, *, is_new_experiment: bool = False) -> None:
        """See that a run may start. Raises: DecisionRefused: the budget is used up."""
        if said := self.refusal(is_new_experiment=is_new_experiment):
            raise DecisionRefused(said, "What was measured can still be read and reverted.")

    def refusal(self, *, is_new_experiment: bool = False) -> str:
        """Say which limit lets no run start; empty where one may."""
        return refusal(self.left(), is_new_experiment=is_new_experiment)

    def text(self) -> str:
        """Say what is left, or that nothing is; empty without a budget.

        What the hidden tasks took is not told: it says how many there are.
        """
        return self.refusal(is_new_experiment=True) or left_text(self._left(self._visible()))

    def _visible(self, run_id: str | None = None) -> list[Run]:
        return [record.run for record in self._record.book.runs.values() if record.run.id != run_id]

    def _left(self, runs: list[Run], hidden: Usage | None = None) -> Allowance:
        taken = [run.spent for run in runs] + ([hidden] if hidden is not None else [])
        # One run whose price is unknown must not hide what the others cost.
        known_usd = sum(usage.cost_usd or 0.0 for usage in taken)
        return allowance(
            self._budget,
            spent=sum(taken, Usage()).model_copy(update={"cost_usd": known_usd}),
            experiments=len(self._record.book.experiments),
            hours=sum(run.duration_sec for run in runs) / 3600,
        )
