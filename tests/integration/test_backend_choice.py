"""Which backend `auto` takes, and what it says of the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.workspaces import ANSWER_TASK, write_tree


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
