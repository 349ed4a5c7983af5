"""What of a task is different on Docker is told."""

from __future__ import annotations

from pathlib import Path

from support.workspaces import ANSWER_TASK, write_tree

from autoagent_mcp import task as task_files
from autoagent_mcp.models.task import Task
from autoagent_mcp.sandbox.docker import task_fit


def make_task(folder: Path, config: str) -> Task:
    write_tree(folder, {**ANSWER_TASK, "task.toml": config})
    return task_files.load(folder)


def test_a_storage_limit_is_told_not_to_hold(tmp_path: Path) -> None:
    asking = "[environment]\nstorage_mb = 100\n[verifier.environment]\nstorage_mb = 50"
    of_agent, of_verifier = task_fit.notices(make_task(tmp_path, asking))
    assert "[environment]" in of_agent
    assert "100" in of_agent
    assert "[verifier.environment]" in of_verifier
    assert task_fit.notices(make_task(tmp_path, "[environment]\ncpus = 2\n")) == ()
