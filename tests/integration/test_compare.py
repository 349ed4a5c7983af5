"""Two trials of a task held against each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.clients import ToolFailed, in_memory
from support.labs import FakeMeasure, edit, make_lab_workspace, measured, opened
from support.workspaces import write_tree


def trajectory(*commands: str) -> str:
    """Return a trace in which an agent runs these commands."""

    def step(command: str) -> dict[str, Any]:
        call = {"tool_call_id": "1", "function_name": "bash", "arguments": {"command": command}}
        results = [{"source_call_id": "1", "content": f"did {command}"}]
        return {"source": "agent", "message": "", "tool_calls": [call], "observation": {"results": results}}

    return json.dumps({"steps": [{"source": "user", "message": "Do it."}, *map(step, commands)]})


async def test_a_trial_that_passed_is_held_against_one_that_failed(tmp_path: Path) -> None:
    workspace = make_lab_workspace(tmp_path, "apple")
    async with opened(workspace, FakeMeasure()) as lab:
        await measured(lab)
        edit(workspace, "apple", "banana")
        await measured(lab)
    place = ".autoagent/runs/{}/{}/trajectory.json".format
    traces = {
        place("0001", "banana__1"): trajectory("ls", "cat a", "echo no"),
        place("0002", "banana__1"): trajectory("ls", "grep b a", "echo yes"),
        place("0002", "apple__1"): trajectory("ls"),
        place("0001", "apple__1"): trajectory("ls"),
    }
    write_tree(tmp_path, traces | {".autoagent/runs/0001/banana__1/verifier/test-stdout.txt": "wrong answer"})
    async with in_memory(workspace) as call:
        found = await call("compare_traces", run_a="0002", run_b="0001", task="banana")
        assert "part, in step 3 of a and step 3 of b" in found["summary"]
        assert (found["shared_steps"], found["last_shared"]["step"]) == (1, 2)
        a, b = found["a"], found["b"]
        assert ([one["step"] for one in a["steps"]], "grep b a" in a["steps"][0]["tool_calls"][0]) == ([3, 4], True)
        assert (a["passed"], b["passed"], "wrong answer" in b["verifier_output"]) == (True, False, True)
        assert 'read_trace(run="0001", trial="banana__1", step=3)' in found["next"]
        same = await call("compare_traces", run_a="0001", run_b="0002", trial_a="apple__1", trial_b="apple__1")
        assert "do the same in all of their 1 steps" in same["summary"]
        for arguments, said in (
            ({"run_a": "0001", "task": "banana"}, "name a single trial, banana__1"),
            ({"run_a": "0001", "task": "nothing"}, "no task named 'nothing'"),
            ({"run_a": "0001"}, "No trial is named"),
            ({"run_a": "0009", "task": "banana"}, "no run named '0009'"),
            ({"run_a": "0001", "trial_a": "apple__1", "trial_b": "banana__1"}, "trials of different tasks"),
            ({"run_a": "0001", "run_b": "0002", "task": "cherry"}, "not on disk any more"),
        ):
            with pytest.raises(ToolFailed, match=said):
                await call("compare_traces", **arguments)


@pytest.mark.parametrize("broken", ['{"steps": [', "", 300_000 * "["])
async def test_a_broken_trace_is_named(tmp_path: Path, broken: str) -> None:
    workspace = make_lab_workspace(tmp_path, "apple")
    async with opened(workspace, FakeMeasure()) as lab:
        await measured(lab)
        edit(workspace, "apple", "banana")
        await measured(lab)
    place = ".autoagent/runs/{}/banana__1/trajectory.json".format
    write_tree(tmp_path, {place("0001"): broken, place("0002"): trajectory("ls")})
    async with in_memory(workspace) as call:
        with pytest.raises(ToolFailed, match=r"trajectory\.json cannot be read: "):
            await call("compare_traces", run_a="0001", run_b="0002", task="banana")
        with pytest.raises(ToolFailed, match=r"trajectory\.json cannot be read: "):
            await call("read_trace", run="0001", trial="banana__1")
