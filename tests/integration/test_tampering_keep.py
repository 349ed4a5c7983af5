"""Tampering, through the lab: named in the brief, no keep before a person's word, and then the keep goes through."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.labs import REFLECTION, edit, make_lab_workspace, measured, opened
from support.workspaces import git

from autoagent_mcp.errors import DecisionRefused
from autoagent_mcp.experiment.integrity import accept
from autoagent_mcp.models.experiment import Decision
from autoagent_mcp.models.integrity import Kind, Thing


async def test_nothing_is_kept_before_a_person_accepts_what_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    workspace = make_lab_workspace(tmp_path / "work", "apple")
    ref = "refs/autoagent/experiments/0"
    async with opened(workspace) as lab:
        await lab.look()
        await measured(lab)
        edit(workspace, "apple", "banana")
        await measured(lab, "Solve more")
        with closing(sqlite3.connect(workspace.ledger)) as connection:
            connection.execute("DROP TRIGGER entries_never_change")
            connection.execute("UPDATE entries SET at = '2020-01-01T00:00:00+00:00' WHERE seq = 3")
            connection.commit()
        git(workspace.folder, "update-ref", "-d", ref)

        with pytest.raises(DecisionRefused, match="accept-changes"):
            await lab.keep(REFLECTION)
        assert f"{ref} (gone)" in (await lab.brief()).text
        assert "from entry 3 on" in (await lab.brief()).text

        seen = (Thing(kind=Kind.LEDGER, name="3"), Thing(kind=Kind.REF, name=ref))
        accept(workspace, seen)
        await lab.keep(REFLECTION)
        assert lab.experiments()[1].decision is Decision.KEEP
        assert "Changed from outside" not in (await lab.brief()).text
