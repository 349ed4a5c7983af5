"""What the workspace's budget still allows, hidden tasks included."""

from __future__ import annotations

from collections.abc import Iterable

from autoagent_mcp.errors import DecisionRefused
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.experiment.stopping import stopped
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.run import Run
from autoagent_mcp.models.trial import Usage
from autoagent_mcp.run.allowance import Allowance, allowance, left_text, refusal

_NO_NEW = "No further experiment may begin; what was measured can still be kept or reverted."


class _Taken(Frozen):
    """What some runs took together."""

    usage: Usage = Usage()
    known_usd: float = 0.0
    """Of the runs whose price is known: one whose price is not must not hide what the others cost."""
    sec: float = 0.0


class Spending:
    """Adds up what all runs took."""

    def __init__(self, shared: Shared) -> None:
        self._workspace = shared.bench.workspace
        self._budget = shared.bench.config.budget
        self._record = shared.record
        self._hidden = shared.hidden
        self._entries = -1
        self._all = _Taken()

    def left(self, run_id: str | None = None, *, beside: Run | None = None) -> Allowance:
        """Return what is left.

        Args:
            run_id: A run that counts its own, so that what it took is not counted here.
            beside: What it took so far, where that is to be counted for somebody else.
        """
        taken = self._visible() if run_id is None else _taken(run for run in self._runs() if run.id != run_id)
        if beside is not None:
            taken = _sum(taken, _taken([beside]))
        return self._left(_sum(taken, _of(self._hidden.spent)) if self._hidden else taken)

    def check(self, *, is_new_experiment: bool = False) -> None:
        """See that a run may start. Raises: DecisionRefused: the budget is used up, or a person said stop."""
        if said := self.refusal(is_new_experiment=is_new_experiment):
            raise DecisionRefused(said, "What was measured can still be read and reverted.")

    def refusal(self, *, is_new_experiment: bool = False) -> str:
        """Say why no run may start, be it a person's word or a limit; empty where one may."""
        return stopped(self._workspace) or refusal(self.left(), is_new_experiment=is_new_experiment)

    def note(self) -> str:
        """Say which limit was reached, for every answer; empty where none was."""
        if said := self.refusal():
            return said
        said = self.refusal(is_new_experiment=True)
        return f"{said} {_NO_NEW}" if said else ""

    def text(self) -> str:
        """Say what is left, or that nothing is; empty without a budget.

        What the hidden tasks took is not told: it says how many there are.
        """
        return self.note() or left_text(self._left(self._visible()))

    @property
    def spent_usd(self) -> float | None:
        """What all runs on visible tasks cost; None where a price is unknown."""
        return self._visible().usage.cost_usd

    def _runs(self) -> Iterable[Run]:
        return (record.run for record in self._record.book.runs.values())

    def _visible(self) -> _Taken:
        """Add up all runs; anew only where the book has grown, as every answer asks for it."""
        if self._entries != self._record.length:
            self._entries, self._all = self._record.length, _taken(self._runs())
        return self._all

    def _left(self, taken: _Taken) -> Allowance:
        return allowance(
            self._budget,
            spent=taken.usage.model_copy(update={"cost_usd": taken.known_usd}),
            experiments=len(self._record.book.experiments),
            hours=taken.sec / 3600,
        )


def _taken(runs: Iterable[Run]) -> _Taken:
    """Add up runs, of which there may be thousands: without a sum in between for each."""
    found = [(run.spent, run.duration_sec) for run in runs]
    costs_usd = [usage.cost_usd for usage, _ in found]
    return _Taken(
        usage=Usage(
            model_calls=sum(usage.model_calls for usage, _ in found),
            prompt_tokens=sum(usage.prompt_tokens for usage, _ in found),
            completion_tokens=sum(usage.completion_tokens for usage, _ in found),
            cached_tokens=sum(usage.cached_tokens for usage, _ in found),
            cost_usd=None if None in costs_usd else sum(cost or 0.0 for cost in costs_usd),
        ),
        known_usd=sum(cost or 0.0 for cost in costs_usd),
        sec=sum(sec for _, sec in found),
    )


def _of(usage: Usage) -> _Taken:
    return _Taken(usage=usage, known_usd=usage.cost_usd or 0.0)


def _sum(one: _Taken, other: _Taken) -> _Taken:
    return _Taken(usage=one.usage + other.usage, known_usd=one.known_usd + other.known_usd, sec=one.sec + other.sec)
