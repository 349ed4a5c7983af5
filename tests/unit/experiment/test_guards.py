"""What stands between a change that looks good and its keep."""

from __future__ import annotations

import pytest
from support.labs import REFLECTION, edit, measured, opened
from support.workspaces import git

from autoagent_mcp.errors import DecisionRefused
from autoagent_mcp.models.experiment import Decision
from autoagent_mcp.workspace import Workspace


async def test_what_a_change_shares_with_a_task_must_be_justified_in_words(workspace: Workspace) -> None:
    name = "reconcile-ledgers"
    (workspace.folder / "tasks" / "apple").rename(workspace.folder / "tasks" / name)
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, "banana", "cherry", extra=f'\nHINT = "{name} wants a table"')
        run = await measured(lab, "Name the task")
        assert any(name in notice for notice in run.notices)
        with pytest.raises(DecisionRefused, match=f"names the task {name}"):
            await lab.keep(REFLECTION)
        kept = (await lab.keep(REFLECTION, "The name is the name of a general trade.")).experiment
    assert kept.decision is Decision.KEEP
    assert "Justification: The name is" in kept.reflection
    assert "Justification: The name is" in git(workspace.folder, "log", "-1", "--format=%B")


async def test_a_canary_in_a_change_blocks_its_keep_and_is_seen_by_nobody_else(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        assert git(workspace.folder, "status", "--porcelain") == ""
        planted = (workspace.folder / "tasks" / "apple" / "tests" / ".autoagent-canary").read_text(encoding="utf-8")
        edit(workspace, "apple", "banana", "cherry", extra=f"\nSEEN = {planted.split()[-1]!r}")
        run = await measured(lab, "Solve more")
        assert any("holds a canary token" in notice for notice in run.notices)
        with pytest.raises(DecisionRefused, match=r"This change cheats\. agent\.py holds a canary token"):
            await lab.keep(REFLECTION, "There is a good reason for it.")
        assert lab.incumbent() == lab.experiments()[0]


async def test_a_pass_of_what_nobody_can_solve_quarantines_the_change(workspace: Workspace) -> None:
    settings = workspace.folder / "tasks" / "damson" / "task.toml"
    settings.write_text(f"{settings.read_text(encoding='utf-8')}\n[metadata]\nimpossible = true\n", encoding="utf-8")
    async with opened(workspace) as lab:
        assert (await measured(lab)).suite.tasks == ("apple", "banana", "cherry", "damson")
        baseline = lab.incumbent()
        assert baseline is not None
        assert baseline.score is not None
        assert baseline.score.trials == 3
        edit(workspace, "apple", "banana", "cherry", "damson")
        run = await measured(lab, "Solve all")
        assert "cannot be solved" in lab.experiments()[1].cheats[0]
        with pytest.raises(DecisionRefused, match="It passed a task that cannot be solved"):
            await lab.keep(REFLECTION)
        assert run.id in lab.experiments()[1].runs
