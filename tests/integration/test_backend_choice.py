"""Which backend `auto` takes, and what it says of the other."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from support.workspaces import ANSWER_TASK, write_tree

from autoagent_mcp.config import Config
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.workspace import Workspace


def check(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(folder), "tasks", "check", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")


def test_tasks_check_says_once_why_docker_was_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cannot_run = {**ANSWER_TASK, "task.toml": "[environment]\ngpus = 1\n"}
    write_tree(tmp_path / "tasks" / "answer", cannot_run)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    why = "Docker was not taken: No Docker engine answers: "
    assert check(tmp_path).stdout.count(why) == 1
    assert check(tmp_path, "--json").stderr.count(why) == 1


async def test_a_silent_engine_does_not_keep_the_first_call_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections and says nothing
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        with anyio.move_on_after(8) as patience:
            async with open_bench(Workspace(folder=tmp_path), Config()) as bench:
                assert bench.backend.name == "bubblewrap"
        assert not patience.cancel_called
