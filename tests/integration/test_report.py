"""What the page is made of: a workspace's ledger, git and folders, read beside whatever server is at work."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.labs import REFLECTION, FakeMeasure, agent_py, edit, make_lab_workspace, measured, opened
from support.workspaces import ANSWER_TASK, git, make_workspace, write_tree

from autoagent_mcp.errors import LedgerError, ReportError
from autoagent_mcp.models.run import Run
from autoagent_mcp.models.trial import Arm
from autoagent_mcp.report.writing import write_report
from autoagent_mcp.run.bench import Bench
from autoagent_mcp.run.run import Report, RunRequest
from autoagent_mcp.workspace import HiddenPlace, Workspace

EVIDENCE = '[decision]\nrule = "evidence"\n'
TASKS = tuple(f"task{number:02}" for number in range(24))


async def written(workspace: Workspace, folder: Path | None = None) -> dict[str, Any]:
    """Write the page and return its data."""
    report = await write_report(workspace, folder)
    packed = re.findall(r'id="data">([^<]*)<', report.index.read_text(encoding="utf-8"))[0]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


async def test_a_night_by_one_run_each_is_told_with_its_doubts(tmp_path: Path) -> None:
    workspace = make_lab_workspace(tmp_path / "work", "apple")
    async with opened(workspace) as lab:
        await measured(lab, "baseline")
        edit(workspace, "apple", "banana")
        await measured(lab, "more")
        await lab.keep(REFLECTION)
        edit(workspace, "banana")
        await measured(lab, "less")
        await lab.revert("It lost what apple needs.")
        edit(workspace, "crashes")
        await measured(lab, "crash")
        data = await written(workspace)
    assert [one["status"] for one in data["experiments"]] == ["baseline", "kept", "reverted", "open"]
    assert [one["cells"] for one in data["experiments"]] == ["sxxx", "sSxx", "Xsxx", "XXxx"]
    assert [row[:2] for row in data["reigns"]] == [[0, 0], [1, 1]]
    assert data["headline"]["gain"]["how"] == "scores"
    assert data["headline"]["hidden"] == "none"
    assert data["headline"]["spent"]["cost_usd"] == 0.25 * 16
    assert "One run decided" in data["headline"]["doubts"][0]
    assert data["experiments"][2]["reason"] == "It lost what apple needs."
    shown = "".join(json.dumps(line) for file in data["diffs"]["winner"] for line in file["lines"])
    assert "solves: apple banana" in shown


async def test_the_gain_of_an_incumbent_that_met_the_baseline_comes_from_their_pairs(tmp_path: Path) -> None:
    tasks = dict.fromkeys(TASKS, ANSWER_TASK)
    workspace = make_workspace(tmp_path / "work", agent=agent_py(*TASKS[:4]), tasks=tasks, settings=EVIDENCE)
    async with opened(workspace) as lab:
        await measured(lab, "baseline")
        workspace.agent.write_text(agent_py(*TASKS[:9]), encoding="utf-8")
        await measured(lab, "five more")
        asked = await lab.keep(REFLECTION, "The tasks' names stand for what it can do.")
        assert asked.run is not None
        await lab.wait(asked.run.id, 20)
    data = await written(workspace)
    gain = data["headline"]["gain"]
    assert (gain["how"], gain["run"], gain["interval"][0]) == ("pairs", "0003", pytest.approx(100 * 5 / 24))
    assert data["headline"]["incumbent"]["trials"] == 48  # the fresh trials of its score, not those that chose it
    assert data["experiments"][1]["judgement"]["wins"] >= 5
    assert data["runs"][2]["opponent"] == 0


async def test_what_a_review_rolled_back_is_told_and_the_baseline_reigns_again(tmp_path: Path) -> None:
    tasks = dict.fromkeys(TASKS, ANSWER_TASK)
    workspace = make_workspace(tmp_path / "work", agent=agent_py(*TASKS[:4]), tasks=tasks, settings=EVIDENCE)
    async with opened(workspace) as lab:
        await measured(lab, "baseline")
        workspace.agent.write_text(agent_py(*TASKS[:9], "fraud"), encoding="utf-8")
        await measured(lab, "five more, by luck")
        asked = await lab.keep(REFLECTION, "The tasks' names stand for what it can do.")
        assert asked.run is not None
        await lab.wait(asked.run.id, 20)
        assert (await written(workspace))["headline"]["incumbent"]["is_provisional"]
        await lab.wait((await lab.review()).id, 20)
    data = await written(workspace)
    assert [one["status"] for one in data["experiments"]] == ["baseline", "rolled back"]
    assert [row[0] for row in data["reigns"]] == [0, 1, 0]
    assert data["headline"]["gain"] is None
    assert "winner" not in data["diffs"]


class WorseOnHidden(FakeMeasure):
    """Lets the incumbent alone pass the hidden tasks."""

    async def __call__(self, request: RunRequest, bench: Bench, report: Report, /) -> Run:
        """Measure."""
        run = await super().__call__(request, bench, report)
        if not isinstance(bench.workspace, HiddenPlace):
            return run
        trials = (one.model_copy(update={"passed": one.arm is Arm.INCUMBENT}) for one in run.trials)
        return run.model_copy(update={"trials": tuple(trials)})


async def test_a_veto_of_the_hidden_tasks_is_told_and_nothing_else_of_them(tmp_path: Path) -> None:
    tasks = dict.fromkeys(TASKS, ANSWER_TASK)
    settings = f'{EVIDENCE}[split]\nhidden_dir = "../aside"\n'
    write_tree(tmp_path / "aside" / "zq-secret", ANSWER_TASK)
    workspace = make_workspace(tmp_path / "work", agent=agent_py(*TASKS[:4]), tasks=tasks, settings=settings)
    async with opened(workspace, WorseOnHidden()) as lab:
        await measured(lab, "baseline")
        assert (await written(workspace))["headline"]["hidden"] == "not asked"
        workspace.agent.write_text(agent_py(*TASKS[:9]), encoding="utf-8")
        await measured(lab, "five more")
        asked = await lab.keep(REFLECTION, "The tasks' names stand for what it can do.")
        assert asked.run is not None
        await lab.wait(asked.run.id, 20)
        data = await written(workspace)
    assert (data["headline"]["hidden"], data["experiments"][1]["status"]) == ("veto", "refused")
    assert "zq-secret" not in json.dumps(data)


async def test_it_is_written_beside_a_server_at_work_and_its_run_is_told(tmp_path: Path) -> None:
    workspace, fake = make_lab_workspace(tmp_path / "work", "apple"), FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab, "baseline")
        edit(workspace, "banana")
        fake.hold()
        run = await lab.start_suite("under way")
        await fake.started.wait()
        before = {path: path.stat().st_mtime_ns for path in (workspace.lock, workspace.ledger)}
        data = await written(workspace)
        assert {path: path.stat().st_mtime_ns for path in before} == before
        fake.gate.set()
        await lab.wait(run.id, 20)
    assert [(one["id"], one["is_going_on"]) for one in data["runs"]] == [("0001", False), ("0002", True)]


async def test_what_is_gone_is_told_as_gone(tmp_path: Path) -> None:
    workspace = make_lab_workspace(tmp_path / "work", "apple")
    async with opened(workspace) as lab:
        await measured(lab, "baseline")
    shutil.rmtree(workspace.run("0001") / "apple__1")
    git(workspace.folder, "checkout", "-q", "--detach")
    data = await written(workspace)
    columns = data["trial_columns"]
    traces = {row[columns.index("id")]: row[columns.index("trace")] for row in data["trials"]}
    assert traces == {"apple__1": None, "banana__1": 1, "cherry__1": 1, "damson__1": 1}
    assert "HEAD is detached" in data["notices"][0]
    assert data["diffs"] == {}


async def test_a_page_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    workspace = make_lab_workspace(tmp_path / "work", "apple")
    with pytest.raises(LedgerError, match="no ledger"):
        await write_report(workspace, tmp_path / "page")
    async with opened(workspace) as lab:
        await measured(lab, "baseline")
    await write_report(workspace, tmp_path / "page")
    (tmp_path / "page" / "traces" / "old.js").touch()
    words = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(workspace.folder), "report", "--out", "page"]
    said = (await anyio.run_process(words, cwd=tmp_path)).stdout.decode().splitlines()
    assert said[0].startswith("Experiments: 1, trials: 4, traces: 4. The page has 0.")
    assert said[1] == str(tmp_path / "page" / "index.html")
    assert {path.name for path in (tmp_path / "page").iterdir()} == {"index.html", "traces"}
    assert not (tmp_path / "page" / "traces" / "old.js").exists()
    (tmp_path / "page" / "mine.txt").touch()
    with pytest.raises(ReportError, match="or not only that"):
        await write_report(workspace, tmp_path / "page")
    assert (tmp_path / "page" / "mine.txt").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine", encoding="utf-8")
    with pytest.raises(ReportError, match="no page of ours"):
        await write_report(workspace, tmp_path / "mine")
    assert (tmp_path / "mine" / "index.html").read_text(encoding="utf-8") == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"work", "page", "mine"}


async def test_a_place_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    for name in ("circle", "x" * 300):
        with pytest.raises(ReportError, match="cannot be written"):
            await write_report(make_lab_workspace(tmp_path / f"work-{len(name)}", "apple"), tmp_path / name)


async def test_a_damaged_run_keeps_no_other_from_being_told(tmp_path: Path) -> None:
    workspace = make_lab_workspace(tmp_path / "work", "apple")
    async with opened(workspace) as lab:
        await measured(lab, "baseline")
    write_tree(workspace.runs, {"0002/run.json": '{"id', "0001/run.json": "{"})
    assert [(one["id"], one["spent"]["model_calls"] > 0) for one in (await written(workspace))["runs"]] == [
        ("0001", True)
    ]
