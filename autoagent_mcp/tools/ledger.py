"""Where we are and how we got there."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autoagent_mcp.models.experiment import Decision
from autoagent_mcp.tools.boundary import ToolContext, lab_of, speaks_mcp
from autoagent_mcp.tools.text import DATA_NOTE, clip, cost_text
from autoagent_mcp.tools.views import ROWS_PER_PAGE, BriefView, LedgerView, TaskRow, TasksView, experiment_row, pages_of

BRIEF_LIMIT_CHARS = 8_000
EXPERIMENTS_PER_PAGE = 10

Page = Annotated[int, Field(ge=1)]


@speaks_mcp
async def get_brief(ctx: ToolContext) -> BriefView:
    """Say where we are: incumbent, what can be proven, last experiments, what not to try again, near misses, next step.

    Call it first, and whenever you have lost the thread: it is enough to go on from.
    """
    brief = await (await lab_of(ctx)).brief()
    return BriefView(brief=clip(brief.text, BRIEF_LIMIT_CHARS), next=brief.next)


@speaks_mcp
async def list_tasks(ctx: ToolContext, page: Page = 1) -> TasksView:
    """List the tasks of the suite, 20 a page: how often each passed, what it cost, and what it asks for.

    Also names the folders that are not in the suite, with the reason.
    """
    histories, excluded = await (await lab_of(ctx)).tasks()
    shown = histories[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE]
    return TasksView(
        tasks=tuple(
            TaskRow(
                task=one.task.name,
                passed=one.passed,
                attempts=one.attempts,
                avg_cost=cost_text(one.avg_cost_usd),
                avg_duration_sec=round(one.avg_duration_sec, 1),
                instruction=clip(one.task.instruction, 150),
            )
            for one in shown
        ),
        excluded=tuple(f"{one.task}: {clip('; '.join(one.reasons), 200)}" for one in excluded[:10]),
        page=page,
        pages=pages_of(len(histories)),
        next=f"{DATA_NOTE} Call run_suite to measure the harness, or read_ledger to see what was tried.",
    )


@speaks_mcp
async def read_ledger(ctx: ToolContext, decision: Decision | None = None, page: Page = 1) -> LedgerView:
    """Read the experiments, newest first, 10 a page; `decision` (keep, revert or crash) shows only those.

    Each with the kind of change, how much of what you expected came true, and the evidence of its fresh trials.
    """
    lab = await lab_of(ctx)
    found = [one for one in reversed(lab.experiments()) if decision is None or one.decision is decision]
    shown = found[(page - 1) * EXPERIMENTS_PER_PAGE : page * EXPERIMENTS_PER_PAGE]
    return LedgerView(
        experiments=tuple(experiment_row(one) for one in shown),
        page=page,
        pages=pages_of(len(found), EXPERIMENTS_PER_PAGE),
        next="Do not try again what was reverted. Call get_brief for the next step.",
    )
