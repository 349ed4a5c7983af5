"""Attack 12 of the project's list from the meta-agent's side: its shell can open the ledger."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.clients import ToolFailed, in_memory
from support.workspaces import NO_MODEL, harness, make_workspace

from autoagent_mcp.workspace import Workspace

IDLES = "async def run_task(environment, instruction):\n    pass\n"
SOLVES = "async def run_task(environment, instruction):\n    await environment.exec('echo 42 > answer.txt')\n"
KEEP = {"reflection": "Yes, it would help with any task.", "justification": "The instruction names the file."}


def rows(workspace: Workspace) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(workspace.ledger)) as ledger:
        return ledger.execute("SELECT * FROM entries ORDER BY seq").fetchall()


async def test_the_ledger_refuses_changes_and_a_forged_row_is_put_back_and_nothing_kept_until_a_person_accepts(
    tmp_path: Path,
) -> None:
    workspace = make_workspace(tmp_path, agent=harness(IDLES), settings=NO_MODEL.format(url="http://127.0.0.1:9/v1"))
    async with in_memory(workspace) as call:
        await call("run_suite", description="the baseline", wait_sec=120)
        workspace.agent.write_text(harness(SOLVES), encoding="utf-8")
        await call("run_suite", description="solve it", wait_sec=120)
    before = rows(workspace)
    with closing(sqlite3.connect(workspace.ledger)) as ledger:
        for change in ("UPDATE entries SET body = '{}'", "DELETE FROM entries"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                ledger.execute(change)
        ledger.rollback()
        assert rows(workspace) == before
        ledger.execute("DROP TRIGGER entries_never_change")
        ledger.execute("UPDATE entries SET body = '{}' WHERE seq = 0")
        ledger.commit()
    async with in_memory(workspace) as call:
        brief = (await call("get_brief"))["brief"]
        assert "Changed from outside and put back as far as there was a copy: the ledger, from entry 0 on." in brief
        assert rows(workspace)[: len(before)] == before
        assert "from entry 0 on. Nothing is kept until a person" in (await call("read_ledger"))["next"]
        with pytest.raises(ToolFailed, match="accept-changes"):
            await call("keep_change", **KEEP)
        words = ["-m", "autoagent_mcp", "--workspace", str(tmp_path), "accept-changes", "--yes"]
        await anyio.run_process([sys.executable, *words])
        assert (await call("keep_change", **KEEP))["experiment"]["decision"] == "keep"
