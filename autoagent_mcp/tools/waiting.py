"""Wait for a run and show how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import anyio
from pydantic import Field

from autoagent_mcp.experiment import prediction
from autoagent_mcp.models.run import Run, RunKind, RunState
from autoagent_mcp.run.score import score
from autoagent_mcp.tools.boundary import ToolContext
from autoagent_mcp.tools.clients import author_of, patience_of
from autoagent_mcp.tools.text import cost_text
from autoagent_mcp.tools.views import RunView, is_over, run_view

if TYPE_CHECKING:
    from autoagent_mcp.experiment.lab import Lab

PROGRESS_SEC = 5.0

WaitSec = Annotated[float | None, Field(ge=0)]
"""None: as long as the client is known to bear."""

_DUELS = {RunKind.CONFIRM, RunKind.REVIEW}
_LOWERED = (
    "wait_sec was lowered to {most_sec:g}: {client} may cut longer calls ([server] max_wait_sec is another limit)."
)
_AGAIN = {
    RunKind.SUITE: "Call run_suite again",
    RunKind.SPOT: "Call spot_check again",
    RunKind.CONFIRM: "Call keep_change again",
    RunKind.REVIEW: "A person runs autoagent-mcp review, or it begins again after a later keep",
}


async def wait_and_view(ctx: ToolContext, lab: Lab, run_id: str, wait_sec: float | None) -> RunView:
    """Wait in short steps, so that the client hears of progress at least every 5 s, and show the run as it then is.

    A wait that the client would not bear is shortened, and the answer says so.
    """
    client = author_of(ctx).client
    patience = patience_of(client, lab.server_settings)
    teller = _Teller(ctx, lab)
    with anyio.move_on_after(patience.usual_sec if wait_sec is None else min(wait_sec, patience.most_sec)):
        await teller.tell(run_id)
        while not await lab.has_ended(run_id, PROGRESS_SEC):
            await teller.tell(run_id)
    await teller.tell(run_id)
    shown = await view(lab, await lab.run(run_id))
    if wait_sec is None or wait_sec <= patience.most_sec or shown.state != RunState.RUNNING.value:
        return shown
    lowered = _LOWERED.format(most_sec=patience.most_sec, client=client or "this client")
    return shown.model_copy(update={"notices": (lowered, *shown.notices)})


async def view(lab: Lab, run: Run) -> RunView:
    """Show a run as it stands."""
    comparison = await lab.comparison(run) if is_over(run) else None
    judgement = lab.judgement(run.id) if is_over(run) else None
    predicted = prediction.line(run.prediction, lab.predicted(run.id))
    return run_view(run, comparison, judgement, predicted, await _next_step(lab, run))


class _Teller:
    """Tells a client of progress; MCP wants a larger number each time, also while no trial ends."""

    def __init__(self, ctx: ToolContext, lab: Lab) -> None:
        self._ctx = ctx
        self._lab = lab
        self._done = -1
        self._again = 0

    async def tell(self, run_id: str) -> None:
        """Tell how far a run is."""
        found = await self._lab.progress(run_id)
        self._again = self._again + 1 if found.done == self._done else 0
        self._done = found.done
        cost = cost_text(found.cost_usd)
        message = f"{found.done} of {found.total} trials, {found.passed} passed, {cost}"
        await self._ctx.report_progress(found.done + self._again / (self._again + 1), found.total, message)


async def _next_step(lab: Lab, run: Run) -> str:
    if not is_over(run):
        return f'The run goes on. Call wait_run(run="{run.id}").'
    if run.state is RunState.FAILED:
        return f"The run failed. Mend what the error says. {_AGAIN[run.kind]}: what was measured stays."
    if run.kind not in _DUELS and run.state is not RunState.COMPLETE:
        return f"The run did not finish. {_AGAIN[run.kind]}: only the missing trials are run."
    if run.kind not in _DUELS and score(run.trials).unmeasured:
        return f"Some trials measured nothing. {_AGAIN[run.kind]}: only those are run again."
    if run.kind is RunKind.SPOT:
        return "If it looks good, call run_suite; if not, edit agent.py again or call revert_change."
    return await lab.next_step(run)
