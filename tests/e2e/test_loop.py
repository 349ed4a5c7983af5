"""The loop of a night, over stdio, on the real local model; and what an improvement is made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.clients import Call, Era, in_memory, over_stdio
from support.edits import apply_edit
from support.stub_upstream import running
from support.wire import Answer
from support.workspaces import ROOT, commit_all, copy_shipped, git, on_bubblewrap, write_tree

from autoagent_mcp.workspace import Workspace

EASY = ("count-words", "make-executable")
STUB = '[model]\nprovider = "openai-compatible"\nname = "smollm2-135m-instruct"\nbase_url = "{url}"\n'


def decide_by_one_run(workspace: Workspace) -> None:
    """Declare the seed's rule, as the demo does."""
    settings = workspace.folder / "autoagent.toml"
    shipped = settings.read_text(encoding="utf-8")
    settings.write_text(shipped.replace('rule = "evidence"', 'rule = "seed"'), encoding="utf-8")
    commit_all(workspace.folder)


async def measure(call: Call, description: str) -> dict[str, object]:
    run = await call("run_suite", description=description)
    while run["state"] == "running":
        run = await call("wait_run", run=run["run"])
    assert (run["state"], run["unmeasured"]) == ("complete", 0)
    return run


@pytest.mark.timeout(300)
@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_a_night_keeps_what_helps_and_takes_back_what_hurts(tmp_path: Path, era: Era) -> None:
    workspace = copy_shipped(tmp_path, EASY)
    decide_by_one_run(workspace)
    write_tree(tmp_path, {"notes.txt": "not committed"})
    async with over_stdio(workspace, era) as call:
        assert "baseline" in (await call("get_brief"))["next"]
        baseline = await measure(call, "the baseline")
        failed = (await call("read_run", run=baseline["run"]))["trials"][0]["trial"]
        trace = await call("read_trace", run=baseline["run"], trial=failed)
        assert [step for step in trace["steps"] if step["source"] == "agent"]

        apply_edit(workspace, "helps")
        await call("spot_check", tasks=[EASY[0]], description="does it run?", wait_sec=60)
        better = await measure(call, "speak to the model in plain text")
        assert int(str(better["passed"])) > int(str(baseline["passed"]))
        kept = await call("keep_change", reflection="yes: it names no task, and any small model needs it")
        assert kept["experiment"]["decision"] == "keep"
        incumbent = workspace.agent.read_bytes()

        apply_edit(workspace, "hurts")
        worse = await measure(call, "without the examples")
        assert int(str(worse["passed"])) < int(str(better["passed"]))
        reverted = await call("revert_change", lesson="the examples are needed")
        assert reverted["experiment"]["decision"] == "revert"
        ledger = (await call("read_ledger"))["experiments"]
    assert [one["decision"] for one in ledger] == ["revert", "keep", "keep"]
    assert workspace.agent.read_bytes() == incumbent
    check_what_is_left(workspace)


def check_what_is_left(workspace: Workspace) -> None:
    folder = workspace.folder
    assert git(folder, "rev-list", "--count", "HEAD") == "3"
    assert git(folder, "show", "--format=", "--name-only", "HEAD") == "agent.py"
    assert git(folder, "status", "--porcelain") == "?? notes.txt"
    refs = git(folder, "for-each-ref", "--format=%(refname)", "refs/autoagent").splitlines()
    assert {f"refs/autoagent/experiments/{n}" for n in range(3)} < set(refs)
    rows = [line.split("\t") for line in workspace.results.read_text(encoding="utf-8").splitlines()]
    assert [row[5] for row in rows] == ["status", "keep", "keep", "discard"]
    for trial in workspace.runs.glob("*/*__*/"):
        steps = json.loads((trial / "trajectory.json").read_text(encoding="utf-8"))["steps"]
        assert any(step["source"] == "agent" for step in steps)


@pytest.mark.timeout(300)
async def test_with_empty_replies_the_improved_harness_scores_no_higher_than_the_baseline(tmp_path: Path) -> None:
    """So the gain is the model's: code that solved the tasks by itself would show here."""
    names = tuple(sorted(path.name for path in (ROOT / "tasks").iterdir()))
    workspace = copy_shipped(tmp_path, names)
    async with running() as model:
        model.answer = lambda _: Answer(text="")
        (tmp_path / "autoagent.toml").write_text(on_bubblewrap(STUB.format(url=model.url)), encoding="utf-8")
        async with in_memory(workspace) as call:
            baseline = await measure(call, "the baseline")
            apply_edit(workspace, "helps")
            improved = await measure(call, "the improvement")
    assert model.received
    assert int(str(improved["total"])) == len(names)
    assert int(str(improved["passed"])) <= int(str(baseline["passed"]))
