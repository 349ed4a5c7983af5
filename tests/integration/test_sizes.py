"""No result is larger than a client takes, and its text and its structured content say the same, whatever there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.types import TextContent, TextResourceContents
from support.labs import FakeMeasure, agent_py, edit, measured, opened
from support.workspaces import ANSWER_TASK, commit_all, make_workspace

from autoagent_mcp._io import write_whole
from autoagent_mcp.models.run import Run
from autoagent_mcp.models.trial import Failure, FailureCause, Trial, Usage
from autoagent_mcp.run.bench import Bench
from autoagent_mcp.run.run import Report, RunRequest
from autoagent_mcp.server import build_server
from autoagent_mcp.tools.text import RESULT_LIMIT_CHARS
from autoagent_mcp.workspace import Workspace

TASKS = tuple(f"t{number:03}_{'n' * 235}" for number in range(200))
LOUD = '\\"\n\t' * 500 + "\x1b[31m\U000e0041" * 500
FIRST, SECOND, THIRD = (f"{TASKS[number]}__1" for number in range(3))
SETTINGS = '[decision]\nrule = "evidence"\n[budget]\nmax_experiments = 5\n'


class LoudMeasure(FakeMeasure):
    """Has as much to tell of everything as there may be."""

    async def __call__(self, request: RunRequest, bench: Bench, report: Report, /) -> Run:
        """Measure."""
        run = await super().__call__(request, bench, report)
        trials = tuple(_loud(trial) for trial in run.trials)
        folder = bench.workspace.run(run.id)
        for trial in trials:
            write_whole(folder / trial.id / "trial.json", trial.model_dump_json(), is_durable=False)
        changes = {"trials": trials, "notices": (LOUD,) * 20, "error": LOUD}
        loud = run.model_copy(update=changes)
        write_whole(folder / "run.json", loud.model_dump_json(exclude={"trials"}), is_durable=False)
        return loud


def _loud(trial: Trial) -> Trial:
    failure = None if trial.passed else Failure(cause=FailureCause.HARNESS_TIMEOUT, detail=LOUD[:400])
    usage = Usage(model_calls=10**6, prompt_tokens=10**9, completion_tokens=10**9, cost_usd=12345.6789)
    notices = (LOUD,) * 9 if trial.id in {FIRST, SECOND, THIRD} else ()
    return trial.model_copy(update={"failure": failure, "judge_usage": usage, "usage": usage, "notices": notices})


def _trajectory(steps: list[dict[str, Any]], subs: int = 0) -> str:
    subagents = [{"trajectory_id": f"sub-{number}", "steps": steps[:3]} for number in range(subs)]
    return json.dumps({"steps": steps, "subagent_trajectories": subagents})


def _step(number: int, size: int) -> dict[str, Any]:
    text = f"{number} " + LOUD * (size // len(LOUD) + 1)
    calls = [{"function_name": LOUD, "arguments": {"command": text}, "tool_call_id": str(one)} for one in range(12)]
    results = [{"content": text, "extra": {"command": text}} for _ in range(12)]
    said = {"message": text, "reasoning_content": text, "timestamp": LOUD, "extra": {"error": text}}
    return {"step_id": number, "source": "agent", "tool_calls": calls, "observation": {"results": results}, **said}


@pytest.fixture(scope="module")
async def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Make a workspace in which everything is as long as it may be."""
    tasks = {name: ANSWER_TASK | {"instruction.md": LOUD[:600]} for name in TASKS}
    folder = tmp_path_factory.mktemp("sizes")
    made = make_workspace(folder, agent=agent_py(*TASKS[:50]), tasks=tasks, settings=SETTINGS)
    for number in range(60):
        write_tree_file(folder / ".agent" / f"{number:03}{'f' * 150}.md", LOUD * 4)
    write_tree_file(folder / "program.md", f"{LOUD}\n" * 20)
    commit_all(folder)
    async with opened(made, LoudMeasure()) as lab:
        await measured(lab, "d" * 2000)
        edit(made, *TASKS[40:], extra="\nNUMBER = 0")
        await lab.start_suite(LOUD[:2000], TASKS[100:150], TASKS[:50])
        await lab.wait("0002", 60)
        await lab.revert(LOUD[:4000])
        for number in range(1, 4):
            edit(made, TASKS[0], extra=f"\nNUMBER = {number}")
            run = await lab.start_spot(TASKS[:1], attempts=1, description=LOUD[:2000])
            await lab.wait(run.id, 60)
            await lab.revert(LOUD[:4000])
    trials = {FIRST: [_step(one, 1_000) for one in range(20)], SECOND: [_step(0, 100_000)]}
    for trial, steps in (trials | {THIRD: [{"source": "agent", "message": str(one)} for one in range(20_000)]}).items():
        files = made.trial("0001", trial)
        write_tree_file(files.trajectory, _trajectory(steps, subs=3))
        write_tree_file(files.harness_log, LOUD * 100)
        write_tree_file(files.verifier / "test-stdout.txt", LOUD * 100)
    for name in TASKS[:20]:
        write_tree_file(folder / "tasks" / name / "instruction.md", "changed")
    return made


def write_tree_file(path: Path, text: str) -> None:
    """Write a file with what it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def calls() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give what is asked: pages from the first to past the last, and what is refused with long names."""
    yield from ((tool, {}) for tool in ("get_brief", "list_tasks", "read_ledger", "read_harness"))
    yield from ((tool, {"page": page}) for tool in ("list_tasks", "read_ledger") for page in (2, 99))
    yield from (("read_run", {"run": run, "page": page}) for run in ("0001", "0002") for page in (1, 7, 99))
    yield from ((tool, {"run": "0002"}) for tool in ("wait_run", "cancel_run"))
    for trial in (FIRST, SECOND, THIRD):
        yield from (("read_trace", {"run": "0001", "trial": trial, "page": page}) for page in (1, 10**6))
        yield "read_trace", {"run": "0001", "trial": trial, "step": 1, "page": 2}
    yield "compare_traces", {"run_a": "0001", "trial_a": FIRST, "trial_b": FIRST}
    yield "read_harness", {"file": "program.md"}
    yield "read_harness", {"file": "program.md", "line": 900}
    yield "edit_harness", {"file": f".agent/{'x' * 180}", "content": LOUD}
    yield "edit_harness", {"file": "agent.py", "old": "e", "new": LOUD}
    yield "edit_harness", {"file": LOUD, "content": LOUD}
    yield "run_suite", {"description": "again"}
    yield "run_suite", {"description": LOUD, "expect_fixed": [LOUD]}
    yield "keep_change", {"reflection": LOUD[:4000]}
    yield "revert_change", {"lesson": LOUD[:4000]}
    yield "read_run", {"run": LOUD}
    yield "compare_traces", {"run_a": "0001", "task": LOUD}


RESOURCES = (
    *(
        "program",
        "harness/program.md?line=900",
        "harness",
        "ledger",
        "ledger?page=2",
        "progress",
        f"tasks/{TASKS[0]}",
        "runs/0001",
    ),
    *("runs/0002?page=9", *(f"runs/0001/{trial}" for trial in (FIRST, SECOND))),
)


@pytest.mark.timeout(400)  # 200 tasks with the longest names and traces of 5 MB
async def test_no_result_is_larger_than_a_client_takes_and_its_two_forms_say_the_same(workspace: Workspace) -> None:
    async with Client(build_server(workspace)) as client:
        for tool, arguments in calls():
            result = await client.call_tool(tool, arguments)
            (text,) = result.content
            assert isinstance(text, TextContent)
            assert len(text.text) < RESULT_LIMIT_CHARS, (tool, arguments)
            said: dict[str, Any] = result.structured_content or {}
            assert result.is_error or (json.loads(text.text) == said and "Changed from outside" in said["next"])
        for name in RESOURCES:
            (content,) = (await client.read_resource(f"autoagent://{name}")).contents
            assert isinstance(content, TextResourceContents)
            assert len(content.text) < RESULT_LIMIT_CHARS, name
        with pytest.raises(MCPError) as caught:
            await client.read_resource(f"autoagent://runs/{'x' * 20_000}")
        assert len(str(caught.value)) < RESULT_LIMIT_CHARS
