"""Where we are and how we got there."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autoagent_mcp.models.experiment import Decision
from autoagent_mcp.tools.boundary import ToolContext, lab_of, speaks_mcp
from autoagent_mcp.tools.text import clip
from autoagent_mcp.tools.views import NEXT_CHARS, BriefView, LedgerView, TasksView, ledger_view, tasks_view

BRIEF_LIMIT_CHARS = 8_000

Page = Annotated[int, Field(ge=1)]


@speaks_mcp
async def get_brief(ctx: ToolContext) -> BriefView:
    """Say where we are: incumbent, what can be proven, last experiments, what not to try again, near misses, next step.

    Call it first, and whenever you have lost the thread: it is enough to go on from.
    """
    brief = await (await lab_of(ctx)).brief()
    return BriefView(brief=clip(brief.text, BRIEF_LIMIT_CHARS), next=clip(brief.next, NEXT_CHARS))


@speaks_mcp
async def list_tasks(ctx: ToolContext, page: Page = 1) -> TasksView:
    """List the tasks of the suite: how often each passed, what it cost, and what it asks for.

    20 a page, fewer where their names are long. Also names the folders that are not in the suite, with the reason.
    """
    histories, excluded = await (await lab_of(ctx)).tasks()
    return tasks_view(histories, excluded, page)


@speaks_mcp
async def read_ledger(ctx: ToolContext, decision: Decision | None = None, page: Page = 1) -> LedgerView:
    """Read the experiments, newest first, 10 a page; `decision` (keep, revert or crash) shows only those.

    Each with the kind of change, how much of what you expected came true, and the evidence of its fresh trials.
    """
    return ledger_view((await lab_of(ctx)).experiments(), decision, page)
