"""`autoagent-mcp accept-changes`, as a process beside a server that has the workspace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.labs import make_lab_workspace

from autoagent_mcp.experiment.integrity import Watch
from autoagent_mcp.experiment.record import Record
from autoagent_mcp.ledger import Ledger
from autoagent_mcp.repo import Repo
from autoagent_mcp.task import load_all
from autoagent_mcp.workspace import Workspace


def accept_changes(workspace: Workspace, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(workspace.folder), "accept-changes", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8", input=said)


async def test_a_persons_word_reaches_the_running_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    workspace = make_lab_workspace(tmp_path / "work", "apple")
    assert "Nothing waits" in accept_changes(workspace).stdout
    assert not workspace.ledger.exists()
    ledger = await Ledger.open(workspace)
    record = Record(workspace, await Repo.open(workspace), ledger)
    watch = Watch(workspace, record)
    try:
        await record.load()
        tasks, _ = load_all(workspace.folder / "tasks")
        await record.begin(await record.repo.read(), "baseline")
        assert await watch.look(tasks) == ()

        (tasks[0].folder / "instruction.md").write_text("Do nothing.\n", encoding="utf-8")
        assert await watch.look(tasks)
        with (workspace.folder / "autoagent.toml").open("a") as settings:
            settings.write("# not looked at yet\n")

        refused = accept_changes(workspace, said="n\n")
        assert refused.returncode == 1
        assert "task       apple now" in refused.stdout
        assert "settings   autoagent.toml now" in refused.stdout
        assert await watch.look(tasks)

        assert accept_changes(workspace, said="y\n").returncode == 0
        assert await watch.look(tasks) == ()
        watch.require_accepted()
        assert "Nothing waits" in accept_changes(workspace, "--yes").stdout
    finally:
        watch.close()
        await ledger.close()
