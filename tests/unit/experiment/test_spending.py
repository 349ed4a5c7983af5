"""The workspace's budget: what all runs took, and what follows when it is used up."""

from __future__ import annotations

import pytest
from support.labs import REFLECTION, edit, measured, opened

from autoagent_mcp.errors import DecisionRefused
from autoagent_mcp.models.experiment import Decision
from autoagent_mcp.workspace import Workspace


def limit(workspace: Workspace, line: str) -> None:
    settings = workspace.folder / "autoagent.toml"
    settings.write_text(f"{settings.read_text(encoding='utf-8')}\n[budget]\n{line}\n", encoding="utf-8")


async def test_what_was_spent_is_added_up_over_runs_and_servers(workspace: Workspace) -> None:
    limit(workspace, "max_cost_usd = 2.5")  # a run of the four tasks takes one dollar
    async with opened(workspace) as lab:
        await measured(lab)
        assert "Left of the budget: $1.50" in (await lab.brief()).text
        edit(workspace, "apple", "banana", "cherry")
        await measured(lab, "More")
    async with opened(workspace) as lab:
        assert "Left of the budget: $0.50" in (await lab.brief()).text
        assert lab.notes() == ()
        edit(workspace, "apple")
        await measured(lab, "Less")
        assert "budget.max_cost_usd" in lab.notes()[0]
        assert lab.notes()[0] in (await lab.brief()).text
        edit(workspace, "damson")
        with pytest.raises(DecisionRefused, match=r"budget is used up: budget\.max_cost_usd"):
            await measured(lab, "Other")
        with pytest.raises(DecisionRefused, match="budget is used up"):
            await lab.start_spot(["apple"], attempts=1, description="Look at one")
        assert [one.description for one in lab.experiments()][-1] == "Less"
        edit(workspace, "apple", "banana", "cherry")
        assert (await lab.keep(REFLECTION)).experiment.decision is Decision.KEEP


async def test_no_more_experiments_begin_than_the_budget_has(workspace: Workspace) -> None:
    limit(workspace, "max_experiments = 2")
    async with opened(workspace) as lab:
        await measured(lab)
        assert (lab.notes(), lab.done()) == ((), "")
        edit(workspace, "apple")
        await measured(lab, "Less")
        assert "budget.max_experiments" in lab.notes()[0]
        assert "can still be kept or reverted" in lab.notes()[0]
        assert lab.done() == ""  # the last one waits for its decision
        edit(workspace, "damson")
        with pytest.raises(DecisionRefused, match=r"budget\.max_experiments"):
            await measured(lab, "Other")
        assert len(lab.experiments()) == 2
        edit(workspace, "apple")
        await lab.revert("Less is less")
        assert "budget.max_experiments" in lab.done()
        assert (await lab.brief()).next == f"Done: {lab.done()}"
