"""What a candidate seems to know of the tasks is named: attack 10."""

from __future__ import annotations

import base64
import codecs
import gzip
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.clients import in_memory
from support.workspaces import ANSWER_TASK, NO_MODEL, ROOT, harness, make_workspace, write_tree

from autoagent_mcp import task
from autoagent_mcp.demo import edited
from autoagent_mcp.harness.overfitting import LIMIT_BYTES, flags, scan
from autoagent_mcp.models.finding import FindingKind
from autoagent_mcp.models.task import Task

NAME = "sum-the-quarter"
ANSWER = "total of the second quarter: 48211.07"
TASK = {
    **ANSWER_TASK,
    "tests/test.sh": '#!/bin/bash\ncmp /app/quarters.csv /tests/expected.txt\necho "$?" > /logs/verifier/reward.txt\n',
    "tests/expected.txt": f"{ANSWER}\n",
}
BYTES = ANSWER.encode()
STRADDLING = b"-" * 40 + b"\n" + BYTES
"""Written in base64, the answer goes from one line to the next."""


def load(folder: Path, tasks: Mapping[str, Mapping[str, str]] | None = None) -> list[Task]:
    found = tasks or {NAME: TASK}
    for name, files in found.items():
        write_tree(folder / name, files)
    return [task.load(folder / name) for name in found]


def candidate(line: str) -> dict[str, bytes]:
    return {"agent.py": harness(line).encode()}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("NOTE = 'for sum-the-quarter, add'", "agent.py names the task sum-the-quarter."),
        ("# for sum-the-quarter only", "agent.py names the task sum-the-quarter."),
        (f"ANSWER = {ANSWER!r}", f"agent.py holds {ANSWER!r}, which also stands in the task sum-the-quarter."),
        ("if '/app/quarters.csv' in x: y()", "agent.py names 'quarters.csv', a file of the task sum-the-quarter."),
        ("TOTAL = 48211.07", "agent.py holds '48211.07', which also stands in the task sum-the-quarter."),
    ],
)
def test_what_it_shares_with_a_task_is_named(tmp_path: Path, line: str, said: str) -> None:
    assert flags(candidate(line), load(tmp_path), "") == (said,)


@pytest.mark.parametrize(
    "value",
    [
        repr(base64.b64encode(BYTES)),
        repr(base64.urlsafe_b64encode(BYTES).decode().rstrip("=")),
        f"'''\n{base64.encodebytes(STRADDLING).decode()}'''",
        repr(BYTES.hex()),
        repr(ANSWER[::-1]),
        repr(codecs.encode(ANSWER, "rot13")),
        repr(base64.b64encode(base64.b64encode(BYTES)).decode()),
        repr(base64.b64encode(gzip.compress(BYTES, mtime=0)).decode()),
        f"{ANSWER[:9]!r} + {ANSWER[9:21]!r} + {ANSWER[21:]!r}",
        f"''.join({list(ANSWER)!r})",
        f"''.join(chr(code) for code in {list(BYTES)!r})",
        " + ".join(f"chr({code})" for code in BYTES),
        f"bytes({tuple(BYTES)!r})",
        f"{ANSWER[::-1]!r}[::-1]",
        f"START + {ANSWER[9:]!r}\nSTART = {ANSWER[:9]!r}",
        f"f'{ANSWER[:9]}{{\"{ANSWER[9:]}\"}}'",
    ],
)
def test_a_disguise_of_one_line_is_taken_off(tmp_path: Path, value: str) -> None:
    found = scan(candidate(f"ANSWER = {value}"), {}, load(tmp_path), "")
    assert {(one.kind, one.task) for one in found} == {(FindingKind.ENCODED, NAME)}
    assert ANSWER in [one.what for one in found]


def test_a_disguised_name_of_a_task_is_named(tmp_path: Path) -> None:
    (found,) = scan(candidate("NOTE = 'sum-the' + '-quarter'"), {}, load(tmp_path), "")
    assert (found.kind, found.what) == (FindingKind.ENCODED, NAME)


def test_what_program_md_says_is_allowed(tmp_path: Path) -> None:
    allowed = f"Think of sum-the-quarter and {ANSWER} in quarters.csv."
    files = candidate(f"NOTE = 'sum-the-quarter: quarters.csv'\nANSWER = {ANSWER!r}\nCODED = {BYTES.hex()!r}")
    assert flags(files, load(tmp_path), allowed) == ()


def test_what_the_incumbent_holds_already_is_not_named_again(tmp_path: Path) -> None:
    tasks, old = load(tmp_path), candidate(f"ANSWER = {ANSWER!r}")
    moved = {"agent.py": harness("NOTE = 'sum-the-quarter'").encode(), ".agent/notes.md": f"Say\n{ANSWER}\n".encode()}
    assert [one.sentence for one in scan(moved, old, tasks, "")] == ["agent.py names the task sum-the-quarter."]


def test_what_stands_in_several_tasks_is_no_knowledge_of_one(tmp_path: Path) -> None:
    tasks = load(tmp_path, {f"sum-{number}": TASK for number in "abc"})
    files = candidate(f"ANSWER = {ANSWER!r}\nPLACE = 'quarters.csv'")
    assert flags(files, tasks, "") == ()
    assert len(flags(files, tasks[:2], "")) == 4


def test_a_file_of_its_own_that_is_named_after_a_task_is_named(tmp_path: Path) -> None:
    found = flags({".agent/skills/sum-the-quarter.md": b"Add."}, load(tmp_path), "")
    assert found == (".agent/skills/sum-the-quarter.md names the task sum-the-quarter.",)


def test_words_of_every_day_are_not_named(tmp_path: Path) -> None:
    tasks = load(tmp_path, {"answer": {**TASK, "tests/main.py": "import json\nprint(json.dumps(10000000))\n"}})
    line = "NOTE = 'The answer goes to output.txt; see main.py, use json.dumps(x), at most 10000000 bytes'"
    assert flags(candidate(line), tasks, "") == ()


def test_the_boundary_hides_nothing_but_the_fixed_part_of_agent_py(tmp_path: Path) -> None:
    below = f"# === FIXED ADAPTER BOUNDARY ===\nANSWER = {ANSWER!r}\n".encode()
    assert flags({"agent.py": below}, load(tmp_path), "") == ()
    assert flags({".agent/more.py": below}, load(tmp_path), "")[0].startswith(".agent/more.py holds")


def test_a_file_too_large_to_be_compared_is_named(tmp_path: Path) -> None:
    files = {**candidate("NOTE = 'sum-the-quarter'"), ".agent/dump": b"x" * LIMIT_BYTES}
    assert flags(files, load(tmp_path), "") == (
        "agent.py names the task sum-the-quarter.",
        ".agent/dump is too large to be compared with the tasks.",
    )


@pytest.mark.parametrize("line", ["x = (", "x = '\\x00' + 'a' * 10**9", "x = " + "+".join(["'ab'"] * 3000)])
def test_odd_code_is_looked_at_all_the_same(tmp_path: Path, line: str) -> None:
    found = flags(candidate(f"{line}\n# sum-the-quarter"), load(tmp_path), "")
    assert found == ("agent.py names the task sum-the-quarter.",)


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
