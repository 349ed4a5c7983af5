"""A keep by evidence, over stdio: the server is killed in the middle, and the next one goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from pathlib import Path

import pytest
from support.clients import over_stdio
from support.hidden import solver
from support.processes import until
from support.stub_upstream import running
from support.workspaces import ANSWER_TASK, NO_MODEL, ended, git, make_workspace

from autoagent_mcp.workspace import Workspace

REFLECTION = "It reads the instruction, as any harness should."
EASY = {**ANSWER_TASK, "instruction.md": "Please write 42 to answer.txt."}
TASKS = {f"t{number:02}": EASY if number < 5 else ANSWER_TASK for number in range(20)}
PAIRED = 12
"""Trials of the confirm run that end before the server is killed."""


def git_results_and_ledger_agree(workspace: Workspace, commit: str) -> None:
    assert git(workspace.folder, "rev-parse", "--short=7", "HEAD") == commit
    assert git(workspace.folder, "show", "HEAD:agent.py") == solver("instruction").strip()
    assert git(workspace.folder, "status", "--porcelain") == ""
    row = workspace.results.read_text(encoding="utf-8").splitlines()[2].split("\t")
    assert (row[0], row[2], row[5]) == (commit, "40/40", "keep")
    with sqlite3.connect(workspace.ledger) as ledger:
        sha256 = ledger.execute("SELECT sha256 FROM entries ORDER BY seq DESC LIMIT 1").fetchone()[0]
    published = git(workspace.folder, "show", "refs/autoagent/ledger:ledger.jsonl").splitlines()[-1]
    assert json.loads(published)["sha256"] == sha256


@pytest.mark.timeout(120)
async def test_a_confirm_run_survives_a_kill_and_ends_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    async with running() as model:
        settings = NO_MODEL.format(url=model.url) + '[decision]\nrule = "evidence"\n'
        agent = solver("'Please' in instruction")
        workspace = make_workspace(tmp_path / "work", agent=agent, tasks=TASKS, settings=settings)
        async with over_stdio(workspace) as call:
            assert (await call("run_suite", description="the baseline", wait_sec=120))["passed"] == 5
            workspace.agent.write_text(solver("instruction"), encoding="utf-8")
            assert (await call("run_suite", description="any task", wait_sec=120))["passed"] == 20
            model.hold_after(PAIRED)
            first = (await call("keep_change", reflection=REFLECTION, wait_sec=0))["run"]
            assert (first["kind"], first["state"]) == ("confirm", "running")
            await until(lambda: len(ended(workspace, first["run"])) >= PAIRED)
            os.kill(int(workspace.lock.read_text(encoding="utf-8")), signal.SIGKILL)
        before = ended(workspace, first["run"])
        model.reset()
        async with over_stdio(workspace) as call:
            assert (await call("read_run", run=first["run"]))["run"]["state"] == "interrupted"
            answer = await call("keep_change", reflection=REFLECTION, wait_sec=120)
            experiment = (await call("read_ledger"))["experiments"][0]
    assert (answer["run"]["run"], answer["verdict"]["verdict"]) == (first["run"], "kept")
    assert {name: data for name, data in ended(workspace, first["run"]).items() if name in before} == before
    assert len(model.received) == 40 - PAIRED + 40
    git_results_and_ledger_agree(workspace, experiment["commit"][:7])
