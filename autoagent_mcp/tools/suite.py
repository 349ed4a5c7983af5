"""Measure the harness: on the whole suite, or on a few tasks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autoagent_mcp.experiment.lab import Lab
from autoagent_mcp.models.run import Prediction
from autoagent_mcp.tools.boundary import ToolContext, lab_of, speaks_mcp
from autoagent_mcp.tools.clients import author_of
from autoagent_mcp.tools.views import RunTrialsView, RunView, run_trials_view
from autoagent_mcp.tools.waiting import WaitSec, view, wait_and_view

Description = Annotated[str, Field(min_length=3, max_length=2000)]
Expected = Annotated[tuple[str, ...], Field(max_length=50)]

_NOT_TAKEN = (
    "What was expected now was not taken as this run's prediction: that is made when the first run of a change begins, "
    "and the baseline has none."
)


@speaks_mcp
async def run_suite(
    ctx: ToolContext,
    description: Description,
    expect_fixed: Expected = (),
    expect_broken: Expected = (),
    wait_sec: WaitSec = None,
) -> RunView:
    """Measure the harness as it is now (agent.py and .agent/) on the whole suite.

    `description` is your hypothesis: what you changed and why it should help (3 to 2000 characters). The first run of a
    workspace is the unmodified baseline. `expect_fixed` and `expect_broken` name the tasks (at most 50 each, default
    none) that you expect to become solved and to break; the result says how right you were, and get_brief how right
    you have been. A snapshot is measured, so you may go on editing. Starts the run, waits up to
    `wait_sec` (default 45, more where your client is known to bear it) and answers with the result, or with state
    "running": then call wait_run. The same harness is not measured twice: calling again returns the same run.
    """
    lab = await lab_of(ctx)
    run = await lab.start_suite(description, expect_fixed, expect_broken, by=author_of(ctx))
    shown = await wait_and_view(ctx, lab, run.id, wait_sec)
    taken = run.prediction or Prediction()
    is_taken = {*expect_fixed} <= {*taken.fixed} and {*expect_broken} <= {*taken.broken}
    return shown if is_taken else shown.model_copy(update={"notices": (_NOT_TAKEN, *shown.notices)})


@speaks_mcp
async def spot_check(
    ctx: ToolContext,
    tasks: Annotated[list[str], Field(min_length=1, max_length=20)],
    description: Description,
    attempts: Annotated[int, Field(ge=1, le=10)] = 1,
    wait_sec: WaitSec = None,
) -> RunView:
    """Try the harness as it is now on a few named tasks (1 to 20), `attempts` times each (default 1, at most 10).

    Quick and cheap. It can show that a change is no good and never that it is good: that takes run_suite, then
    keep_change. Waits up to `wait_sec` (default 45, more where your client is known to bear it), then answers
    "running": call wait_run.
    """
    lab = await lab_of(ctx)
    run = await lab.start_spot(tuple(tasks), attempts=attempts, description=description, by=author_of(ctx))
    return await wait_and_view(ctx, lab, run.id, wait_sec)


@speaks_mcp
async def wait_run(ctx: ToolContext, run: str, wait_sec: WaitSec = None) -> RunView:
    """Wait for a run, at most `wait_sec`, and say how it stands; returns early when it has ended.

    `wait_sec` is 45 by default, more where your client is known to bear it; a longer one than it bears is lowered.
    """
    return await wait_and_view(ctx, await lab_of(ctx), run, wait_sec)


@speaks_mcp
async def cancel_run(ctx: ToolContext, run: str) -> RunView:
    """Stop a run. Trials that have ended stay, with their traces; the call that began it takes it up again from there.

    That is run_suite, spot_check or keep_change, with the same files. A review begins again after a later keep.
    """
    lab = await lab_of(ctx)
    return await view(lab, await lab.cancel(run))


@speaks_mcp
async def read_run(ctx: ToolContext, run: str, page: Annotated[int, Field(ge=1)] = 1) -> RunTrialsView:
    """Read a run trial by trial, 20 a page, those that did not pass first: reward, failure, cost, time.

    Shows what became solved and what broke against the incumbent. Read the traces of failures with read_trace.
    """
    return await run_trials(await lab_of(ctx), run, page)


async def run_trials(lab: Lab, run: str, page: int) -> RunTrialsView:
    """Show a page of a run's trials. Raises: UnknownNameError: there is no such run."""
    found = await lab.run(run)
    head = await view(lab, found)
    first = next((trial.id for trial in found.trials if not trial.passed), None)
    after = f'Call read_trace(run="{found.id}", trial="{first}") to see why it failed.' if first else head.next
    return run_trials_view(head, found.trials, page, after)
