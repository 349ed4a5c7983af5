"""Measure the harness: on the whole suite, or on a few tasks."""

from __future__ import annotations

from typing import Annotated

import anyio
from pydantic import Field

from autoagent_mcp.experiment.lab import Lab
from autoagent_mcp.models.run import Run, RunKind, RunState
from autoagent_mcp.run.score import score
from autoagent_mcp.tools.boundary import ToolContext, lab_of, speaks_mcp
from autoagent_mcp.tools.text import cost_text
from autoagent_mcp.tools.views import RunTrialsView, RunView, is_over, run_trials_view, run_view

DEFAULT_WAIT_SEC = 45.0
"""Fits under every known client's own limit for a call (the shortest is 60 s)."""
MAX_WAIT_SEC = 3600.0
PROGRESS_SEC = 5.0

WaitSec = Annotated[float, Field(ge=0, le=MAX_WAIT_SEC)]
Description = Annotated[str, Field(min_length=3, max_length=2000)]


@speaks_mcp
async def run_suite(ctx: ToolContext, description: Description, wait_sec: WaitSec = DEFAULT_WAIT_SEC) -> RunView:
    """Measure the harness as it is now (agent.py and .agent/) on the whole suite.

    `description` is your hypothesis: what you changed and why it should help (3 to 2000 characters). The first run of a
    workspace is the unmodified baseline. A snapshot is measured, so you may go on editing. Starts the run, waits up to
    `wait_sec` (default 45, at most 3600) and answers with the result, or with state "running": then call wait_run. The
    same harness is not measured twice: calling again returns the same run.
    """
    lab = await lab_of(ctx)
    run = await lab.start_suite(description)
    return await _wait(ctx, lab, run.id, wait_sec)


@speaks_mcp
async def spot_check(
    ctx: ToolContext,
    tasks: Annotated[list[str], Field(min_length=1, max_length=20)],
    description: Description,
    attempts: Annotated[int, Field(ge=1, le=10)] = 1,
    wait_sec: WaitSec = DEFAULT_WAIT_SEC,
) -> RunView:
    """Try the harness as it is now on a few named tasks (1 to 20), `attempts` times each (default 1, at most 10).

    Quick and cheap. It can show that a change is no good; it can never keep one: only run_suite can. Waits up to
    `wait_sec` (default 45, at most 3600), then answers "running": call wait_run.
    """
    lab = await lab_of(ctx)
    run = await lab.start_spot(tuple(tasks), attempts=attempts, description=description)
    return await _wait(ctx, lab, run.id, wait_sec)


@speaks_mcp
async def wait_run(ctx: ToolContext, run: str, wait_sec: WaitSec = DEFAULT_WAIT_SEC) -> RunView:
    """Wait for a run, at most `wait_sec` (default 45, at most 3600), and say how it stands; returns early when done."""
    return await _wait(ctx, await lab_of(ctx), run, wait_sec)


@speaks_mcp
async def cancel_run(ctx: ToolContext, run: str) -> RunView:
    """Stop a run. Trials that have ended stay, with their traces; run_suite takes the run up again where it stopped."""
    lab = await lab_of(ctx)
    return await _view(lab, await lab.cancel(run))


@speaks_mcp
async def read_run(ctx: ToolContext, run: str, page: Annotated[int, Field(ge=1)] = 1) -> RunTrialsView:
    """Read a run trial by trial, 20 a page, those that did not pass first: reward, failure, cost, time.

    Shows what became solved and what broke against the incumbent. Read the traces of failures with read_trace.
    """
    lab = await lab_of(ctx)
    found = await lab.run(run)
    head = await _view(lab, found)
    first = next((trial.id for trial in found.trials if not trial.passed), None)
    after = f'Call read_trace(run="{found.id}", trial="{first}") to see why it failed.' if first else head.next
    return run_trials_view(head, found.trials, page, after)


async def _wait(ctx: ToolContext, lab: Lab, run_id: str, wait_sec: float) -> RunView:
    """Wait in short steps, so that the client hears of progress at least every 5 s."""
    run = await lab.run(run_id)
    with anyio.move_on_after(wait_sec):
        while not is_over(run):
            await _report(ctx, run)
            run = await lab.wait(run_id, PROGRESS_SEC)
    run = await lab.run(run_id)
    await _report(ctx, run)
    return await _view(lab, run)


async def _report(ctx: ToolContext, run: Run) -> None:
    found = score(run.trials)
    total = len(run.suite.tasks) * run.suite.attempts
    message = f"{found.trials} of {total} trials, {found.passed} passed, {cost_text(found.usage.cost_usd)}"
    await ctx.report_progress(found.trials, total, message)


async def _view(lab: Lab, run: Run) -> RunView:
    comparison = await lab.comparison(run) if is_over(run) else None
    return run_view(run, comparison, await _next_step(lab, run))


async def _next_step(lab: Lab, run: Run) -> str:
    if not is_over(run):
        return f'The run goes on. Call wait_run(run="{run.id}").'
    if run.state is RunState.FAILED:
        return "The run failed. Mend what the error says, then call run_suite again: what was measured stays."
    if run.state is not RunState.COMPLETE:
        return "The run did not finish. Call run_suite again: only the missing trials are run."
    if score(run.trials).unmeasured:
        return "Some trials measured nothing. Call run_suite again: only those are run again."
    if run.kind is RunKind.SPOT:
        return "If it looks good, call run_suite; if not, edit agent.py again or call revert_change."
    return await lab.next_step(run)
