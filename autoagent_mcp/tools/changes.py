"""Keep a change or take it back."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autoagent_mcp.models.experiment import Decision
from autoagent_mcp.tools.boundary import ToolContext, lab_of, speaks_mcp
from autoagent_mcp.tools.clients import author_of
from autoagent_mcp.tools.views import DecisionView, experiment_row, verdict_view
from autoagent_mcp.tools.waiting import WaitSec, wait_and_view

_REVERTED = "Reverted. agent.py is the incumbent's again: try another idea, and read traces before you edit."
_KEPT = "Kept. Read the traces of what still fails (read_run, read_trace) and try the next idea."
_NOTHING = "There was nothing to revert: agent.py is the incumbent's. Read traces, then edit it."


@speaks_mcp
async def keep_change(
    ctx: ToolContext,
    reflection: Annotated[str, Field(min_length=20, max_length=4000)],
    justification: Annotated[str, Field(max_length=4000)] = "",
    wait_sec: WaitSec = None,
) -> DecisionView:
    """Keep the harness as it is now, if it proves better: commits agent.py and .agent/ alone on the current branch.

    Needs a finished suite run of exactly these files that was better than the incumbent, or about as good with simpler
    code. One run may be luck, so this starts a confirm run: fresh trials of the change and the incumbent side by side,
    until it is proven or hopeless (under rule = "seed" in autoagent.toml that first run decides at once).
    Waits up to `wait_sec` (default 45, more where your client is known to bear it), then answers with the verdict, or
    with a run that goes on: call wait_run. The verdict is kept, kept (provisional), refused or undecided; what was
    refused stays refused. `reflection` (20 to 4000 characters) answers: "If this exact task disappeared, would this
    still be a worthwhile harness improvement?" Where the change has names or texts in common with single tasks, the
    answer lists them and asks for a `justification` (up to 4000 characters). Calling it again goes on from what was
    measured.
    """
    lab = await lab_of(ctx)
    asked = await lab.keep(reflection, justification, by=author_of(ctx))
    run = None if asked.run is None else await wait_and_view(ctx, lab, asked.run.id, wait_sec)
    experiment = lab.experiments()[asked.experiment.n]
    is_kept = experiment.decision is Decision.KEEP
    reason = f"Not kept. {experiment.judgement.reason} " if experiment.judgement else ""
    refused = f"{reason}{await lab.after_refusal()}"
    return DecisionView(
        experiment=experiment_row(experiment),
        verdict=verdict_view(experiment.judgement),
        run=run,
        next=_KEPT if is_kept else run.next if run is not None else refused,
    )


@speaks_mcp
async def revert_change(ctx: ToolContext, lesson: Annotated[str, Field(min_length=3, max_length=4000)]) -> DecisionView:
    """Take the change back: agent.py and .agent/ return to the incumbent's, nothing else is touched.

    The reverted version stays reachable in git (refs/autoagent/experiments/<n>) and its traces on disk. `lesson` (3 to
    4000 characters) says what was learnt, so that it is not tried again. Calling it again changes nothing.
    """
    lab = await lab_of(ctx)
    experiment = await lab.revert(lesson, by=author_of(ctx))
    done = _NOTHING if experiment.decision is Decision.KEEP else _REVERTED
    return DecisionView(experiment=experiment_row(experiment), next=f"{done} {await lab.idea()}".rstrip())
