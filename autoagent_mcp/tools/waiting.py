"""Wait for a run and show how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import anyio
from pydantic import Field

from autoagent_mcp.experiment import prediction
from autoagent_mcp.models.run import Run, RunKind, RunState
from autoagent_mcp.run.score import score
from autoagent_mcp.tools.boundary import ToolContext
from autoagent_mcp.tools.text import cost_text
from autoagent_mcp.tools.views import RunView, is_over, run_view

if TYPE_CHECKING:
    from autoagent_mcp.experiment.lab import Lab

DEFAULT_WAIT_SEC = 45.0
"""Fits under every known client's own limit for a call (the shortest is 60 s)."""
MAX_WAIT_SEC = 3600.0
PROGRESS_SEC = 5.0

WaitSec = Annotated[float, Field(ge=0, le=MAX_WAIT_SEC)]

_DUELS = {RunKind.CONFIRM, RunKind.REVIEW}
_AGAIN = {
    RunKind.SUITE: "Call run_suite again",
    RunKind.SPOT: "Call spot_check again",
    RunKind.CONFIRM: "Call keep_change again",
    RunKind.REVIEW: "A person runs autoagent-mcp review, or it begins again after a later keep",
}


async def wait_and_view(ctx: ToolContext, lab: Lab, run_id: str, wait_sec: float) -> RunView:
    """Wait in short steps, so that the client hears of progress at least every 5 s, and show the run as it then is."""
    run = await lab.run(run_id)
    with anyio.move_on_after(wait_sec):
        while not is_over(run):
            await _report(ctx, run)
            run = await lab.wait(run_id, PROGRESS_SEC)
    run = await lab.run(run_id)
    await _report(ctx, run)
    return await view(lab, run)


async def view(lab: Lab, run: Run) -> RunView:
    """Show a run as it stands."""
    comparison = await lab.comparison(run) if is_over(run) else None
    judgement = lab.judgement(run.id) if is_over(run) else None
    predicted = prediction.line(run.prediction, lab.predicted(run.id))
    return run_view(run, comparison, judgement, predicted, await _next_step(lab, run))


async def _report(ctx: ToolContext, run: Run) -> None:
    found = score(run.trials)
    total = run.planned_trials
    at_most = "at most " if run.duel else ""
    message = f"{found.trials} of {at_most}{total} trials, {found.passed} passed, {cost_text(found.usage.cost_usd)}"
    await ctx.report_progress(found.trials, total, message)


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
