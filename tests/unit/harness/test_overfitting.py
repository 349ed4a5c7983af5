"""What a candidate seems to know of the tasks is named: attack 10."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from support.clients import in_memory
from support.workspaces import ANSWER_TASK, NO_MODEL, ROOT, harness, make_workspace, write_tree

from autoagent_mcp import task
from autoagent_mcp.demo import edited
from autoagent_mcp.harness.overfitting import flags

ANSWER = "total of the second quarter: 48211.07"
TASK = {**ANSWER_TASK, "tests/expected.txt": f"{ANSWER}\n"}
ENCODED = base64.b64encode(ANSWER.encode()).decode()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("NOTE = 'for sum-the-quarter, add'", "agent.py names the task sum-the-quarter."),
        (f"ANSWER = {ANSWER!r}", "which also stands in the task sum-the-quarter."),
        (f"ANSWER = {ENCODED!r}", "which also stands in the task sum-the-quarter."),
        ("# for sum-the-quarter only", "agent.py names the task sum-the-quarter."),
    ],
)
def test_a_task_name_or_a_piece_of_a_task_is_named(tmp_path: Path, line: str, said: str) -> None:
    write_tree(tmp_path / "sum-the-quarter", TASK)
    (found,) = flags({"agent.py": harness(line).encode()}, [task.load(tmp_path / "sum-the-quarter")], "")
    assert found.endswith(said)


def test_what_program_md_says_is_allowed(tmp_path: Path) -> None:
    write_tree(tmp_path / "sum-the-quarter", TASK)
    allowed = f"Think of sum-the-quarter and {ANSWER}."
    files = {"agent.py": harness(f"NOTE = 'sum-the-quarter'\nANSWER = {ANSWER!r}").encode()}
    assert flags(files, [task.load(tmp_path / "sum-the-quarter")], allowed) == ()


@pytest.mark.parametrize("name", ["helps", "hurts"])
def test_the_demos_edits_share_nothing_with_the_shipped_tasks(name: str) -> None:
    tasks, _ = task.load_all(ROOT / "tasks")
    agent = edited((ROOT / "agent.py").read_text(encoding="utf-8"), name)
    assert flags({"agent.py": agent.encode()}, tasks, (ROOT / "program.md").read_text(encoding="utf-8")) == ()


async def test_the_run_says_so(tmp_path: Path) -> None:
    agent = harness("async def run_task(environment, instruction):\n    return 'the task answer-the-question'")
    settings = NO_MODEL.format(url="http://127.0.0.1:9/v1")
    workspace = make_workspace(tmp_path, agent=agent, tasks={"answer-the-question": ANSWER_TASK}, settings=settings)
    async with in_memory(workspace) as call:
        run = await call("run_suite", description="the baseline", wait_sec=50)
    assert run["notices"][0] == "agent.py names the task answer-the-question."
