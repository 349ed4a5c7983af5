"""What a client expects of a change, said and scored through the tools."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.clients import ToolFailed, in_memory
from support.workspaces import ANSWER_TASK, NO_MODEL, harness, make_workspace

IDLES = "async def run_task(environment, instruction):\n    pass"
SOLVES = "async def run_task(environment, instruction):\n    await environment.exec('echo 42 > answer.txt')"


async def test_a_client_says_what_it_expects_and_hears_how_right_it_was(tmp_path: Path) -> None:
    workspace = make_workspace(
        tmp_path,
        agent=harness(IDLES),
        tasks=dict.fromkeys(("answer", "again"), ANSWER_TASK),
        settings=NO_MODEL.format(url="http://127.0.0.1:9/v1"),
    )
    async with in_memory(workspace) as call:
        baseline = await call("run_suite", description="the baseline", expect_fixed=["answer"], wait_sec=50)
        assert baseline["prediction"] == ""
        assert baseline["notices"][0].startswith("What was expected now was not taken")
        assert "one run decides" in baseline["next"]

        workspace.agent.write_text(harness(SOLVES), encoding="utf-8")
        with pytest.raises(ToolFailed, match="no task named 'nowhere'"):
            await call("run_suite", description="run the command", expect_broken=["nowhere"])
        expected = {"expect_fixed": ["answer"], "expect_broken": ["again"]}
        better = await call("run_suite", description="run the command", wait_sec=50, **expected)
        told = "Of 1 expected 1 became solved; unexpected: again. Of 1 expected 0 broke (not again); unexpected: none."
        assert better["prediction"] == told
        assert not any("not taken" in notice for notice in better["notices"])
        late = await call("run_suite", description="run the command", expect_fixed=["again"])
        assert late["prediction"] == told
        assert late["notices"][0].startswith("What was expected now was not taken")

        (row, first) = (await call("read_ledger"))["experiments"]
        assert (row["kind"], row["prediction"], row["evidence"]) == ("loop", "solved 1 of 1, broke 0 of 1", "")
        assert (first["kind"], first["prediction"]) == ("", "")
        assert "of 2 that became solved 1 was expected" in (await call("get_brief"))["brief"]
