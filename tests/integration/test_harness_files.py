"""The harness read and edited by a client that has no file tools of its own."""

from __future__ import annotations

import shutil
import stat
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from support.clients import Call, ToolFailed, in_memory
from support.processes import until
from support.workspaces import NO_MODEL, commit_all, git, harness, make_workspace, write_tree

from autoagent_mcp.harness.adapter import BOUNDARY
from autoagent_mcp.workspace import Workspace

SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1")
IDLES = "async def run_task(environment, instruction):\n    pass"
SOLVES = "async def run_task(environment, instruction):\n    await environment.exec('echo 42 > answer.txt')"
TREE = {
    "program.md": "# Program\n\nBe good.\n",
    ".agent/prompts/plan.md": "".join(f"line {number} \u2713\r\n" for number in range(2_000)),
    ".agent/run.sh": "echo one\necho one\n",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = make_workspace(tmp_path, agent=harness(IDLES), settings=SETTINGS)
    write_tree(tmp_path, TREE)
    (tmp_path / ".agent/run.sh").chmod(0o755)
    (tmp_path / ".agent/data.bin").write_bytes(b"\xff\x00")
    commit_all(tmp_path)
    return made


@pytest.fixture
async def call(workspace: Workspace) -> AsyncGenerator[Call]:
    async with in_memory(workspace) as found:
        yield found


def contents(workspace: Workspace) -> dict[str, bytes]:
    places = [workspace.agent, workspace.program, *(workspace.folder / ".agent").rglob("*")]
    return {str(path): path.read_bytes() for path in places if path.is_file()}


async def test_an_edit_is_measured_and_taken_back(workspace: Workspace, call: Call) -> None:
    await call("run_suite", description="the baseline", wait_sec=50)
    new = SOLVES.splitlines()[1]
    edited = await call("edit_harness", file="agent.py", old="    pass", new=new)
    assert (edited["changed"], "run_suite" in edited["next"]) == ("agent.py was changed from line 8 on.", True)
    assert workspace.agent.read_text(encoding="utf-8") == harness(SOLVES)
    assert (await call("run_suite", description="Answer", wait_sec=50))["passed"] == 1
    await call("revert_change", lesson="only a test of the way back")
    assert workspace.agent.read_text(encoding="utf-8") == harness(IDLES)


async def test_a_file_is_read_by_its_lines_exactly_as_it_is(call: Call) -> None:
    first = await call("read_harness", file=".agent/prompts/plan.md")
    assert (first["first_line"], first["lines"], first["fixed_from_line"]) == (1, 2_000, None)
    text, line = "", 1
    while line <= first["lines"]:
        page = await call("read_harness", file=".agent/prompts/plan.md", line=line)
        text, line = text + page["text"], page["last_line"] + 1
    assert text == TREE[".agent/prompts/plan.md"].replace("\r\n", "\n")
    agent = await call("read_harness")
    assert agent["text"].splitlines()[agent["fixed_from_line"] - 1] == BOUNDARY
    assert set(agent["files"]) == {"agent.py", *TREE, ".agent/data.bin"}
    assert (await call("read_harness", file="program.md"))["text"] == TREE["program.md"]


async def test_files_are_made_replaced_edited_and_removed(workspace: Workspace, call: Call) -> None:
    agent = workspace.folder / ".agent"
    made = await call("edit_harness", file=".agent/skills/new.py", content="x = 1\n")
    await call("edit_harness", file=".agent/skills/new.py", content="x = 2\n", version=made["version"])
    assert (agent / "skills/new.py").read_text() == "x = 2\n"
    await call("edit_harness", file=".agent/prompts/plan.md", old="line 7 \u2713\nline 8 ", new="line 7\nline 8 ")
    assert b"line 6 \xe2\x9c\x93\r\nline 7\r\nline 8 \xe2\x9c\x93\r\n" in (agent / "prompts/plan.md").read_bytes()
    await call("edit_harness", file=".agent/run.sh", old="echo one\necho one", new="echo two")
    assert (agent / "run.sh").stat().st_mode & stat.S_IXUSR
    removed = await call("read_harness", file=".agent/run.sh")
    await call("edit_harness", file=".agent/run.sh", delete=True, version=removed["version"])
    assert not (agent / "run.sh").exists()
    assert git(workspace.folder, "status", "--porcelain", "--", "program.md", "tasks") == ""


async def test_the_part_above_the_boundary_is_enough_for_a_new_agent_py(workspace: Workspace, call: Call) -> None:
    version = (await call("read_harness"))["version"]
    above = harness(SOLVES).partition(BOUNDARY)[0]
    await call("edit_harness", file="agent.py", content=above, version=version)
    assert workspace.agent.read_text(encoding="utf-8") == harness(SOLVES)


PLAN = ".agent/prompts/plan.md"
FIXED_LINE = harness(IDLES).partition(BOUNDARY)[2].splitlines()[1]


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"file": "program.md", "content": "x"}, "not yours to edit"),
    ({"file": "tasks/answer/tests/test.sh", "old": "42", "new": "43"}, "not yours to edit"),
    ({"file": "autoagent.toml", "content": ""}, "not yours to edit"),
    ({"file": ".agent/../agent.py", "content": "x"}, "not yours to edit"),
    ({"file": "/etc/passwd", "content": "x"}, "not yours to edit"),
    ({"file": ".agent//x.md", "content": "x"}, "not yours to edit"),
    ({"file": ".agent", "content": "x"}, "not yours to edit"),
    ({"file": ".agent/.git/config", "content": "x"}, "not yours to edit"),
    ({"file": ".agent/.hidden", "content": "x"}, "not yours to edit"),
    ({"file": ".agent/__pycache__/x.pyc", "content": "x"}, "not yours to edit"),
    ({"file": ".agent/x\u202e.md", "content": "x"}, "not yours to edit"),
    ({"file": ".agent/x\0.md", "content": "x"}, "not yours to edit"),
    ({"file": f".agent/{'x' * 250}", "content": "x"}, "not yours to edit"),
    ({"file": ".agent/" + 150 * "\u00e9", "content": "x"}, "not yours to edit"),
    ({"file": ".agent/prompts", "content": "x"}, "cannot both be files"),
    ({"file": f"{PLAN}/x", "content": "x"}, "cannot both be files"),
    ({"file": ".agent/x.md", "content": "a\0b"}, "holds a NUL"),
    ({"file": ".agent/requirements.txt", "content": "httpx\n../evil\n"}, r"line 2, '../evil', is no requirement"),
    ({"file": ".agent/x.py", "content": "x = ("}, r"x\.py line 1 would have a syntax error"),
    ({"file": ".agent/data.bin", "old": "a", "new": "b"}, "no UTF-8 text"),
    ({"file": ".agent/none.md", "old": "a", "new": "b"}, "There is no file"),
    ({"file": ".agent/none.md", "delete": True}, "There is no file"),
    ({"file": PLAN, "content": "x"}, r"is there already\. Nothing was written\. Call read_harness"),
    ({"file": PLAN, "content": "x", "version": "0" * 12}, "is at version"),
    ({"file": PLAN, "delete": True}, "is there already"),
    ({"file": PLAN, "old": "nowhere", "new": "b"}, "does not occur"),
    ({"file": ".agent/run.sh", "old": "one", "new": "b"}, "occurs 2 times in .agent/run.sh, on lines 1, 2"),
    ({"file": ".agent/run.sh", "old": "one\n", "new": "one\n"}, "are the same"),
    ({"file": PLAN, "old": "line 7 ", "new": "x", "content": "y"}, "not clear what is to be done"),
    ({"file": PLAN}, "not clear what is to be done"),
    ({"file": "agent.py", "old": "    pass", "new": "    pass("}, "syntax error.*Nothing was written"),
    ({"file": "agent.py", "old": 'MODEL = "stub"', "new": 'MODEL = "other"'}, "sets MODEL"),
    ({"file": "agent.py", "old": FIXED_LINE, "new": "# mine"}, "lies below the fixed boundary and was changed"),
    ({"file": "agent.py", "old": BOUNDARY, "new": "# mine"}, "must have the line"),
    ({"file": "agent.py", "contents": "x"}, "no argument 'contents'"),
)


async def test_what_may_not_be_or_would_break_is_refused_and_changes_nothing(workspace: Workspace, call: Call) -> None:
    before = contents(workspace)
    for edit, said in REFUSED:
        with pytest.raises(ToolFailed, match=said):
            await call("edit_harness", **edit)
        assert contents(workspace) == before, edit


async def test_links_lead_nowhere(workspace: Workspace, call: Call, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.md").write_text("secret")
    (workspace.folder / ".agent/out").symlink_to(outside)
    for tool, arguments in (
        ("read_harness", {"file": ".agent/out/secret.md"}),
        ("edit_harness", {"file": ".agent/out/new.md", "content": "x"}),
    ):
        with pytest.raises(ToolFailed, match="is a link"):
            await call(tool, **arguments)
    assert [path.name for path in outside.iterdir()] == ["secret.md"]


async def test_only_the_server_that_writes_edits(workspace: Workspace, call: Call) -> None:
    await call("get_brief")
    async with in_memory(workspace) as second:
        assert (await second("read_harness"))["text"].startswith('"""A harness')
        with pytest.raises(ToolFailed, match="Use that one, or end it"):
            await second("edit_harness", file="agent.py", old="    pass", new="    return")
    assert workspace.agent.read_text(encoding="utf-8") == harness(IDLES)


async def test_what_the_disk_refuses_is_told(workspace: Workspace, call: Call) -> None:
    await call("get_brief")
    await until(workspace.status.exists)  # which is written by way of the same folder
    shutil.rmtree(workspace.scratch)
    workspace.scratch.touch()
    before = contents(workspace)
    with pytest.raises(ToolFailed, match="could not be read or written: File exists"):
        await call("edit_harness", file=".agent/new.md", content="x")
    assert contents(workspace) == before


async def test_a_program_that_no_page_can_hold_is_refused(workspace: Workspace, call: Call) -> None:
    with workspace.program.open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(ToolFailed, match=r"program\.md has more than 1000000 bytes"):
        await call("read_harness", file="program.md")
