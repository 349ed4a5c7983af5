"""What the terminal's commands tell beside a server at work, and where there is little to tell."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.labs import REFLECTION, FakeMeasure, agent_py, edit, make_lab_workspace, measured, opened
from support.workspaces import ANSWER_TASK, make_workspace

from autoagent_mcp.errors import LedgerError, UnknownNameError
from autoagent_mcp.models.status import Status
from autoagent_mcp.terminal.ledger import show_ledger
from autoagent_mcp.terminal.status import show_status
from autoagent_mcp.terminal.trace import show_trace
from autoagent_mcp.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Make one whose harness passes one task of four."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return make_lab_workspace(tmp_path / "work", "apple")


def standing(pid: int, running: str) -> str:
    """Return what a server of that process says of itself."""
    return Status(
        server_pid=pid,
        server_version="1",
        is_serving=True,
        is_looping=True,
        running=running,
        experiments=2,
        incumbent=0,
        passed=1,
        trials=4,
        done="",
        next="Call wait_run.",
        spent_usd=1.0,
        updated_at=datetime.now(timezone.utc),
    ).model_dump_json()


async def told(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    await show_status(workspace, as_json=True)
    return json.loads(capsys.readouterr().out)


async def test_what_goes_on_is_told_while_its_server_lives(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        edit(workspace, "apple", "banana")
        fake.hold()
        run = await lab.start_suite("under way")
        await fake.started.wait()
        workspace.status.write_text(standing(os.getpid(), run.id), encoding="utf-8")
        server = (await told(workspace, capsys))["server"]
        assert (server["running"], server["trials"], server["planned"]) == (run.id, 0, 4)
        assert server["next"].startswith("Call wait_run")  # by the test's hand or, since, by the server's own
        await show_status(workspace, as_json=False)
        assert "run 0002 goes on (suite, 0 of at most 4 trials)" in " ".join(capsys.readouterr().out.split())
        fake.gate.set()
        await lab.wait(run.id, 20)
    for text in (standing(2**22 + 1, run.id), standing(os.getpid(), "").replace("true", "false"), "{", "[]"):
        workspace.status.write_text(text, encoding="utf-8")
        assert (await told(workspace, capsys))["server"] is None


async def test_a_workspace_without_a_ledger_and_one_without_a_keep(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LedgerError, match="Nothing was measured here yet"):
        await show_status(workspace, as_json=False)
    async with opened(workspace, FakeMeasure()) as lab:
        await measured(lab)
    await show_status(workspace, as_json=False)
    shown = capsys.readouterr().out
    assert "nothing was kept yet" in shown
    assert "25 % (5 to 70), 1 of 4 trials" in shown
    await show_ledger(workspace, None, state="kept", last=0, as_json=False)
    assert capsys.readouterr().out == "None.\n"
    with pytest.raises(UnknownNameError, match="no experiment named '1'"):
        await show_ledger(workspace, 1, state="", last=0, as_json=False)
    with pytest.raises(UnknownNameError, match=r"no status named 'keep'.*nearest are: kept"):
        await show_ledger(workspace, None, state="keep", last=0, as_json=False)


@pytest.mark.parametrize(
    ("rule", "status", "surety"),
    [("seed", "kept", "decided by one run"), ("evidence", "kept (provisional)", "provisional")],
)
async def test_how_sure_a_keep_is_gets_told_and_all_of_them_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: str, status: str, surety: str
) -> None:
    names = [f"task{number:02}" for number in range(24)]
    settings, tasks = f'[decision]\nrule = "{rule}"\n', dict.fromkeys(names, ANSWER_TASK)
    workspace = make_workspace(tmp_path / "work", agent=agent_py(*names[:4]), tasks=tasks, settings=settings)
    async with opened(workspace) as lab:
        await measured(lab)
        workspace.agent.write_text(agent_py(*names[:9]), encoding="utf-8")
        await measured(lab)
        asked = await lab.keep(REFLECTION, "The tasks' names stand for what it can do.")
        if asked.run is not None:
            await lab.wait(asked.run.id, 20)
    await show_ledger(workspace, None, state="kept", last=0, as_json=True)
    assert [(one["n"], one["status"]) for one in json.loads(capsys.readouterr().out)] == [(1, status)]
    await show_status(workspace, as_json=False)
    assert f"#1, {surety}: Try" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_a_table_is_as_wide_as_the_terminal(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    async with opened(workspace, FakeMeasure()) as lab:
        await measured(lab)
        edit(workspace, "apple", "banana")
        await measured(lab, f"The last word is {'x' * 100} zebra")
        await lab.keep(REFLECTION)
    await show_ledger(workspace, None, state="", last=0, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert "zebra" in " ".join(lines)
    assert ("cost" in lines[0], "2/4 50 %" in " ".join(lines)) == (columns > 40, columns == 200)


@pytest.mark.parametrize("damaged", ['{"steps" []}', '{"steps": ' + "[" * 100_000 + "]" * 100_000 + "}"])
async def test_a_damaged_trace_is_told_as_such(workspace: Workspace, damaged: str) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
    workspace.trial("0001", "apple__1").trajectory.write_text(damaged, encoding="utf-8")
    with pytest.raises(LedgerError, match="trace cannot be read"):
        await show_trace(workspace, "1", "apple", is_whole=False, as_json=False)


@pytest.mark.parametrize("command", [["ledger", "--json"], ["ledger"]])
async def test_a_reader_that_goes_away_ends_it_in_silence(workspace: Workspace, command: list[str]) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(workspace.folder), *command]
    try:
        ended = await anyio.run_process(words, stdout=write, check=False, env=buffered)
    finally:
        os.close(write)
    assert ended.stderr == b""
