"""Keep a change or take it back."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autoagent_mcp.models.experiment import Decision
from autoagent_mcp.tools.boundary import ToolContext, lab_of, speaks_mcp
from autoagent_mcp.tools.views import DecisionView, experiment_row

_REVERTED = "Reverted. agent.py is the incumbent's again: try another idea, and read traces before you edit."
_NOTHING = "There was nothing to revert: agent.py is the incumbent's. Read traces, then edit it."


@speaks_mcp
async def keep_change(
    ctx: ToolContext, reflection: Annotated[str, Field(min_length=20, max_length=4000)]
) -> DecisionView:
    """Keep the harness as it is now: commits agent.py and .agent/ alone on the current branch.

    Allowed only where the finished suite run of exactly these files is an improvement: more trials passed than with the
    incumbent, or equally many with a simpler harness. `reflection` (20 to 4000 characters) answers: "If this exact task
    disappeared, would this still be a worthwhile harness improvement?" Refused otherwise, saying what to do instead.
    Calling it again for a kept change changes nothing.
    """
    lab = await lab_of(ctx)
    experiment = await lab.keep(reflection)
    return DecisionView(
        experiment=experiment_row(experiment),
        next="Kept. Read the traces of what still fails (read_run, read_trace) and try the next idea.",
    )


@speaks_mcp
async def revert_change(ctx: ToolContext, lesson: Annotated[str, Field(min_length=3, max_length=4000)]) -> DecisionView:
    """Take the change back: agent.py and .agent/ return to the incumbent's, nothing else is touched.

    The reverted version stays reachable in git (refs/autoagent/experiments/<n>) and its traces on disk. `lesson` (3 to
    4000 characters) says what was learnt, so that it is not tried again. Calling it again changes nothing.
    """
    lab = await lab_of(ctx)
    experiment = await lab.revert(lesson)
    return DecisionView(
        experiment=experiment_row(experiment), next=_NOTHING if experiment.decision is Decision.KEEP else _REVERTED
    )
