"""Canary tokens: planted where only a cheat reads them, told from any other text, and in nobody's way."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from support.workspaces import ANSWER_TASK, git, harness, make_workspace, write_tree

from autoagent_mcp import task as task_files
from autoagent_mcp.errors import SetupError
from autoagent_mcp.harness.overfitting import canaries_in
from autoagent_mcp.models.task import Task
from autoagent_mcp.repo import Repo
from autoagent_mcp.task.canary import FILE, Canaries, open_canaries

IN_STEPS = {
    "task.toml": '[[steps]]\nname = "a"\n',
    "environment/Dockerfile": "FROM debian:bookworm-slim\n",
    "steps/a/instruction.md": "Do it.",
    "steps/a/solution/solve.sh": "true",
    "steps/a/tests/test.sh": "true",
}


@pytest.fixture
def canaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Canaries:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return open_canaries("workspace")


def make(folder: Path, files: dict[str, str] = ANSWER_TASK) -> Task:
    write_tree(folder, files)
    return task_files.load(folder)


def planted(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob(FILE)}


async def test_planting_changes_neither_digest_nor_git_status(tmp_path: Path, canaries: Canaries) -> None:
    workspace = make_workspace(tmp_path / "workspace", agent=harness("pass"))
    exclude = workspace.folder / ".git" / "info" / "exclude"
    exclude.write_text("mine", encoding="utf-8")
    before, _ = task_files.load_all(workspace.folder / "tasks")
    repo = await Repo.open(workspace)
    for _ in range(2):
        await repo.exclude(FILE)
        assert canaries.plant(before) == ()
    after, _ = task_files.load_all(workspace.folder / "tasks")
    assert planted(workspace.folder) == {f"tasks/answer/tests/{FILE}", f"tasks/answer/solution/{FILE}"}
    assert [task.digest for task in after] == [task.digest for task in before]
    assert git(workspace.folder, "status", "--porcelain") == ""
    assert exclude.read_text(encoding="utf-8") == f"mine\n{FILE}\n"


def test_every_step_and_a_hidden_tasks_root_get_their_own_token(tmp_path: Path, canaries: Canaries) -> None:
    shown, hidden = make(tmp_path / "shown", IN_STEPS), make(tmp_path / "hidden")
    assert canaries.plant([shown], hidden=[hidden]) == ()
    assert planted(shown.folder) == {f"steps/a/tests/{FILE}", f"steps/a/solution/{FILE}"}
    assert planted(hidden.folder) == {FILE, f"tests/{FILE}", f"solution/{FILE}"}
    texts = {path.read_text(encoding="utf-8") for path in tmp_path.rglob(FILE)}
    assert len(texts) == 5


def test_what_is_right_is_not_written_again_and_what_was_changed_is_mended(tmp_path: Path, canaries: Canaries) -> None:
    task = make(tmp_path / "one")
    canaries.plant([task])
    right, wrong = (task.folder / place / FILE for place in ("tests", "solution"))
    text = wrong.read_text(encoding="utf-8")
    wrong.write_text("", encoding="utf-8")
    os.utime(right, ns=(1, 1))
    canaries.plant([task])
    assert right.stat().st_mtime_ns == 1
    assert wrong.read_text(encoding="utf-8") == text


def test_a_place_that_cannot_be_written_is_told_and_a_hidden_ones_name_is_not(
    tmp_path: Path, canaries: Canaries
) -> None:
    shown, hidden = make(tmp_path / "shown"), make(tmp_path / "secret")
    for task in (shown, hidden):
        (task.folder / "tests" / FILE).mkdir()
    assert canaries.plant([shown], hidden=[hidden]) == (
        f"shown: tests/{FILE} cannot be written (Is a directory), so that folder goes without a canary token.",
        "Not every hidden task could be given its canary tokens.",
    )
    assert (shown.folder / "solution" / FILE).is_file()


def test_a_link_in_its_place_is_not_written_through(tmp_path: Path, canaries: Canaries) -> None:
    task = make(tmp_path / "one")
    (task.folder / "tests" / FILE).symlink_to("test.sh")
    (notice,) = canaries.plant([task])
    assert "tests/.autoagent-canary cannot be written" in notice
    assert (task.folder / "tests" / "test.sh").read_text(encoding="utf-8") == ANSWER_TASK["tests/test.sh"]


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path, canaries: Canaries) -> None:
    task = make(tmp_path / "one")
    os.mkfifo(task.folder / "tests" / FILE)
    (notice,) = canaries.plant([task])
    assert "tests/.autoagent-canary cannot be written" in notice


def test_a_later_server_knows_its_tokens_and_nobody_elses(
    tmp_path: Path, canaries: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, later = canaries.token("one", "tests"), open_canaries("workspace")
    assert later.is_in(f"so: {token}")
    assert later.is_in_request(f'{{"content": "{token}"}}'.encode())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    foreign = [open_canaries("workspace").token("one", "tests"), f"autoagent-canary-{'0' * 32}"]
    for text in (*foreign, open_canaries("another").token("one", "tests"), token[:-1], f"{token[:-1]}g"):
        assert not later.is_in(text)
        assert not later.is_in_request(text.encode())


def test_servers_that_start_at_once_make_one_key_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    at_once = Barrier(8)

    def start(_number: int) -> str:
        at_once.wait()
        return open_canaries("workspace").token("one", "tests")

    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(start, range(8)))
    assert len(tokens) == 1
    (key,) = (tmp_path / "autoagent-mcp").iterdir()
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(SetupError, match="canary tokens cannot be kept"):
        open_canaries("workspace")


DISGUISES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": str.upper,
    "bare": lambda token: token.replace("-", ""),
    "spaced": " ".join,
    "reversed": lambda token: token[::-1],
    "hex": lambda token: token.encode().hex(),
    "base64": lambda token: base64.b64encode(f"x{token}".encode()).decode(),
    "several": lambda token: base64.b64encode(token.upper()[::-1].encode()).decode(),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("path", ["agent.py", ".agent/notes.md"])
def test_a_candidate_that_holds_a_token_is_named_whatever_its_disguise(
    canaries: Canaries, path: str, disguise: str
) -> None:
    text = DISGUISES[disguise](canaries.token("one", "tests"))
    files = {path: harness(f"NOTE = {text!r}").encode(), ".agent/a.py": b"A = 1"}
    said = f"{path} holds a canary token, which stands only beside tests and solutions and in hidden tasks."
    assert canaries_in(files, canaries) == (said,)


def test_a_token_in_pieces_or_in_a_name_is_found_too(canaries: Canaries) -> None:
    token = canaries.token("one", "tests")
    pieces = f"A = {token[:20]!r} + {token[20:]!r}"
    code = f"{token.replace('-', '_')} = 1"
    found = canaries_in({"agent.py": pieces.encode(), ".agent/b.py": code.encode()}, canaries)
    assert [said.partition(" ")[0] for said in found] == [".agent/b.py", "agent.py"]
