"""The Stop hook keeps a client at work while a loop is on, and lets it go in every other case."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.hooks import ask

CALLED = '{"message":{"content":[{"type":"tool_use","name":"mcp__autoagent__run_suite","input":{}}]}}\n'
READ = '{"message":{"content":[{"type":"text","text":"the brief says: \\"run_suite\\" is next, see run_suite"}]}}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a workspace with a loop that this process serves."""
    (tmp_path / ".autoagent").mkdir()
    write_status(tmp_path)
    return tmp_path


def write_status(folder: Path, *, pid: int | None = None, **changes: object) -> None:
    pid = pid or os.getpid()
    status = {
        "version": 1,
        "server_pid": pid,
        "server_version": "1",
        "is_serving": True,
        "is_looping": True,
        "running": None,
        "experiments": 3,
        "incumbent": 1,
        "passed": 4,
        "trials": 9,
        "done": "",
        "next": "Read a trace that failed.",
        "spent_usd": None,
        "updated_at": "2026-01-01T00:00:00Z",
    }
    (folder / ".autoagent" / "lock").write_text(f"{pid}\n", encoding="utf-8")
    (folder / ".autoagent" / "status.json").write_text(json.dumps(status | changes), encoding="utf-8")


def stopping(folder: Path, *, again: bool = True, **more: object) -> dict[str, Any]:
    given = {"session_id": "s-1", "cwd": str(folder), "hook_event_name": "Stop", "stop_hook_active": again}
    return ask("stop", given | more)


def test_a_client_in_a_loop_is_told_its_next_step(folder: Path) -> None:
    below = folder / "tasks" / "one"
    below.mkdir(parents=True)
    answer = stopping(below, again=False)
    assert answer["decision"] == "block"
    assert answer["reason"].endswith("Next: Read a trace that failed.")


def test_the_command_line_may_name_the_workspace(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = str(tmp_path_factory.mktemp("elsewhere"))
    given = {"session_id": "s", "cwd": elsewhere}
    assert ask("stop", given) == {}
    assert ask("stop", given, "--workspace", str(folder))["decision"] == "block"


@pytest.mark.parametrize(
    "changes",
    [
        {"is_looping": False},
        {"is_serving": False},
        {"done": "The budget is used up."},
        {"version": 2},
        {"server_pid": 1},  # the lock is held by another server than the one that wrote this
    ],
)
def test_where_no_loop_goes_on_a_client_may_stop(folder: Path, changes: dict[str, Any]) -> None:
    write_status(folder, **changes)
    assert stopping(folder) == {}


def test_a_persons_stop_lets_the_client_go(folder: Path) -> None:
    (folder / ".autoagent" / "stop").touch()
    assert stopping(folder) == {}


def test_a_server_that_is_gone_holds_nobody(folder: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_status(folder, pid=gone.pid)
    assert stopping(folder) == {}


@pytest.mark.parametrize("broken", ["", "[]", "{", '{"version": 1}', "\udcff"])
def test_what_cannot_be_read_holds_nobody(folder: Path, broken: str) -> None:
    path = folder / ".autoagent" / "status.json"
    path.write_bytes(broken.encode("utf-8", "surrogateescape"))
    assert stopping(folder) == {}
    path.unlink()
    assert stopping(folder) == {}


@pytest.mark.parametrize("given", ["", "null", "{}", '{"cwd": 7}', '{"cwd": "/nowhere/at/all"}'])
def test_input_that_is_none_holds_nobody(given: str, tmp_path: Path) -> None:
    assert ask("stop", given, cwd=tmp_path) == {}


def test_a_client_that_does_nothing_is_let_go_before_its_own_cap_of_eight(folder: Path) -> None:
    held = [bool(stopping(folder, again=turn > 0)) for turn in range(6)]
    assert held == [True] * 4 + [False] * 2
    assert stopping(folder, session_id="another one")


def test_the_count_begins_anew_when_something_happened_in_between(folder: Path) -> None:
    assert [bool(stopping(folder)) for _ in range(5)] == [True] * 4 + [False]
    write_status(folder, updated_at="2026-01-01T00:01:00Z", experiments=4)
    assert stopping(folder)


def test_the_count_begins_anew_with_a_new_turn(folder: Path) -> None:
    assert [bool(stopping(folder)) for _ in range(5)] == [True] * 4 + [False]
    assert stopping(folder, again=False)


def test_where_it_cannot_count_it_holds_nobody(folder: Path) -> None:
    (folder / ".autoagent" / "hooks").write_text("no folder", encoding="utf-8")
    assert stopping(folder) == {}


def test_a_count_that_was_not_finished_begins_anew(folder: Path) -> None:
    (folder / ".autoagent" / "hooks").mkdir()
    (folder / ".autoagent" / "hooks" / "s-1").touch()
    assert stopping(folder)
    assert stopping(folder)


def test_what_a_session_did_long_ago_holds_it_no_more(folder: Path) -> None:
    """The end of a transcript is looked at, as going through all of a large one takes seconds."""
    path = folder / "transcript.jsonl"
    path.write_text(CALLED, encoding="utf-8")
    os.truncate(path, 15 * 1024 * 1024)
    assert stopping(folder, transcript_path=str(path))
    os.truncate(path, 17 * 1024 * 1024)
    assert not stopping(folder, transcript_path=str(path))


@pytest.mark.parametrize(("transcript", "is_held"), [(CALLED, True), (READ, False), ("", True)])
def test_a_session_that_only_looked_may_stop(folder: Path, transcript: str, is_held: bool) -> None:  # noqa: FBT001
    path = folder / "transcript.jsonl"
    path.write_text(transcript, encoding="utf-8")
    assert bool(stopping(folder, transcript_path=str(path))) is is_held


@pytest.mark.parametrize("name", ["stop", "guard"])
def test_a_hook_loads_nothing_that_takes_long(folder: Path, name: str) -> None:
    given = {"tool_name": "Write", "tool_input": {"file_path": "x", "content": ""}, "cwd": str(folder)}
    words = [sys.executable, "-X", "importtime", "-m", "autoagent_mcp", "hook", name]
    done = subprocess.run(words, input=json.dumps(given), capture_output=True, text=True, check=True, encoding="utf-8")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert f"autoagent_mcp.hook.{name}" in loaded
    assert not loaded & {"pydantic", "mcp", "typer", "anyio", "asyncio", "git", "autoagent_mcp.cli", "subprocess"}
