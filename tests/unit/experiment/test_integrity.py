"""Tampering: each kind of change is named, blocks a keep, and is settled by a person's word alone."""

from __future__ import annotations

import mmap
import os
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import NamedTuple

import pytest
from support.labs import make_lab_workspace
from support.workspaces import ANSWER_TASK, commit_all, git, write_tree

from autoagent_mcp.errors import DecisionRefused
from autoagent_mcp.experiment.changes import ACCEPTED, TAMPERED
from autoagent_mcp.experiment.integrity import Watch, accept
from autoagent_mcp.experiment.record import Record
from autoagent_mcp.ledger import Ledger
from autoagent_mcp.models.integrity import Accepted, Tampered, Thing
from autoagent_mcp.repo import Repo
from autoagent_mcp.task import load_all
from autoagent_mcp.workspace import Workspace

CANDIDATE = "refs/autoagent/experiments/0"
LEDGER = "refs/autoagent/ledger"


class Server(NamedTuple):
    """What a server has open."""

    watch: Watch
    record: Record
    workspace: Workspace

    async def look(self, *, is_thorough: bool = False) -> str:
        """Look, as each call does, or as one that measures or decides."""
        tasks, _ = load_all(self.workspace.folder / "tasks")
        hidden, _ = load_all(self.workspace.folder.parent / "hidden")
        return "\n".join(await self.watch.look(tasks, hidden, is_thorough=is_thorough))

    async def begin(self) -> None:
        """Enter a first experiment."""
        await self.record.begin(await self.record.repo.read(), "baseline")

    async def bodies(self, kind: str) -> list[str]:
        """Return the ledger's entries of a kind."""
        return [entry.body for entry in await self.record.ledger.entries(kinds=[kind])]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write_tree(tmp_path / "package", {"cli.py": "", "ledger/rows.py": "", "__pycache__/cli.pyc": ""})
    write_tree(tmp_path / "hidden" / "secret", ANSWER_TASK)
    return make_lab_workspace(tmp_path / "work", "apple")


@asynccontextmanager
async def serving(workspace: Workspace) -> AsyncGenerator[Server]:
    """Open a workspace as a server does."""
    ledger = await Ledger.open(workspace)
    try:
        record = Record(workspace, await Repo.open(workspace), ledger)
        await record.load()
        package = workspace.folder.parent / "package"
        with closing(Watch(workspace, record, package=package)) as watch:
            yield Server(watch, record, workspace)
    finally:
        await ledger.close()


@pytest.fixture
async def server(workspace: Workspace) -> AsyncGenerator[Server]:
    """Serve a workspace in which something was measured."""
    async with serving(workspace) as one:
        assert await one.look() == ""
        await one.begin()
        assert await one.look() == ""
        yield one


def rewrite_unseen(path: Path) -> None:
    """Change one letter and set back the times that a program can set."""
    before = path.stat()
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-2] + "#\n", encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_with_link(path: Path) -> None:
    target = path.with_name("other.sh")
    path.rename(target)
    path.symlink_to(target.name)


def update_row(folder: Path) -> None:
    with closing(sqlite3.connect(folder / ".autoagent" / "ledger.sqlite3")) as connection:
        connection.execute("DROP TRIGGER entries_never_change")
        connection.execute("UPDATE entries SET kind = 'forged' WHERE seq = 0")
        connection.commit()


Change = Callable[[Path], object]
ONE_OF_EACH_KIND: dict[str, tuple[Change, str]] = {
    "settings": (lambda at: rewrite_unseen(at / "autoagent.toml"), "outside: autoagent.toml."),
    "task": (lambda at: rewrite_unseen(at / "tasks/apple/tests/test.sh"), "outside: tasks apple."),
    "hidden": (lambda at: rewrite_unseen(at / "../hidden/secret/tests/test.sh"), "outside: hidden tasks."),
    "package": (
        lambda at: (at / "../package/ledger/rows.py").write_text("# forged"),
        "outside: files of autoagent-mcp itself, ledger/rows.py.",
    ),
    "ref": (lambda at: git(at, "update-ref", CANDIDATE, "HEAD"), f"had them: {CANDIDATE}."),
    "ledger's ref": (lambda at: git(at, "update-ref", LEDGER, f"{LEDGER}^"), f"had them: {LEDGER}."),
    "ledger": (update_row, "copy: the ledger, from entry 0 on."),
}
OTHERS: tuple[tuple[Change, str], ...] = (
    (lambda at: (at / "autoagent.toml").unlink(), "outside: autoagent.toml (gone)."),
    (lambda at: (at / "autoagent.toml").touch(), "outside: autoagent.toml."),
    (lambda at: (at / "tasks/apple/tests/test.sh").chmod(0o755), "outside: tasks apple."),
    (lambda at: replace_with_link(at / "tasks/apple/tests/test.sh"), "outside: tasks apple."),
    (lambda at: (at / "tasks/apple/tests/conftest.py").touch(), "outside: tasks apple."),
    (lambda at: shutil.rmtree(at / "tasks/apple"), "outside: tasks apple (gone)."),
    (lambda at: write_tree(at / "tasks/easy", ANSWER_TASK), "outside: tasks easy."),
    (lambda at: write_tree(at / "../hidden/other", ANSWER_TASK), "outside: hidden tasks."),
    (lambda at: (at / "../package/cli.py").unlink(), "files of autoagent-mcp itself, cli.py (gone)."),
    (
        lambda at: write_tree(at / "../package", dict.fromkeys("abcdefg", "")),
        "files of autoagent-mcp itself, a, b, c, d, e and 2 more.",
    ),
    (lambda at: git(at, "update-ref", "-d", CANDIDATE), f"had them: {CANDIDATE} (gone)."),
    (lambda at: (at / ".git" / CANDIDATE).write_text("x"), f"had them: {CANDIDATE} (gone)."),
    (lambda at: git(at, "update-ref", f"{CANDIDATE}7", "HEAD"), f"had them: {CANDIDATE}7."),
)


@pytest.mark.parametrize("kind", ONE_OF_EACH_KIND)
async def test_a_change_is_named_and_blocks_until_a_person_accepts_it(server: Server, kind: str) -> None:
    folder = server.workspace.folder
    refs, lines = git(folder, "show-ref"), await server.record.ledger.lines()
    make, sentence = ONE_OF_EACH_KIND[kind]
    make(folder)

    said = await server.look()

    assert sentence in said
    assert said.count("Changed from outside") == 1
    assert "autoagent-mcp accept-changes" in said
    with pytest.raises(DecisionRefused, match="accept-changes"):
        server.watch.require_accepted()
    # What is the tool's own is as it was, but for the entry that tells of it.
    assert (await server.record.ledger.lines())[: len(lines)] == lines
    assert _without_ledger(git(folder, "show-ref")) == _without_ledger(refs)
    assert len(await server.record.repo.read_ledger()) == len(lines) + 1

    assert await server.look() == said, "it is told at each call"
    (body,) = await server.bodies(TAMPERED)
    accept(server.workspace, _things(body))
    assert await server.look() == ""
    server.watch.require_accepted()
    assert len(await server.bodies(TAMPERED)) == 1
    (accepted,) = await server.bodies(ACCEPTED)
    assert Accepted.model_validate_json(accepted).things == _things(body)


async def test_each_way_to_change_something_is_seen(server: Server) -> None:
    for count, (make, sentence) in enumerate(OTHERS, start=1):
        make(server.workspace.folder)
        assert sentence in await server.look()
        bodies = await server.bodies(TAMPERED)
        assert len(bodies) == count
        accept(server.workspace, _things(bodies[-1]))
        assert await server.look() == ""


async def test_what_was_changed_while_no_server_ran_is_named_at_each_start(workspace: Workspace) -> None:
    async with serving(workspace) as one:
        await one.look()
        await one.begin()
        await one.look()
    made = [ONE_OF_EACH_KIND[kind] for kind in ("settings", "task", "hidden", "package", "ref", "ledger")]
    for make, _ in made:
        make(workspace.folder)
    body = ""
    for _ in range(2):
        async with serving(workspace) as one:
            said = await one.look()
            assert all(sentence in said for _, sentence in made)
            with pytest.raises(DecisionRefused):
                one.watch.require_accepted()
            (body,) = await one.bodies(TAMPERED)
    accept(workspace, _things(body))
    async with serving(workspace) as one:
        assert await one.look() == ""


async def test_what_changes_nothing_is_not_named(server: Server) -> None:
    folder = server.workspace.folder
    git(folder, "pack-refs", "--all")
    git(folder, "gc", "-q")
    commit_all(folder)
    (folder / "autoagent.toml").touch()
    (folder / "program.md").write_text("Try harder.", encoding="utf-8")
    (folder / "tasks/apple/tests/.test.sh.swp").touch()
    (folder / "tasks/apple/tests/.autoagent-canary").touch()
    (folder.parent / "package/__pycache__/cli.pyc").write_text("newer", encoding="utf-8")
    with closing(sqlite3.connect(server.workspace.ledger)) as connection:
        connection.execute("VACUUM")
    assert await server.look() == ""
    await server.record.begin(await server.record.repo.read(), "another")
    assert await server.look() == ""
    assert await server.bodies(TAMPERED) == []


async def test_only_what_the_person_saw_is_accepted(server: Server) -> None:
    settings = server.workspace.folder / "autoagent.toml"
    settings.write_text("# mine\n", encoding="utf-8")
    await server.look()
    (body,) = await server.bodies(TAMPERED)
    accept(server.workspace, _things(body))
    settings.write_text("# not mine\n", encoding="utf-8")
    assert "autoagent.toml" in await server.look()
    assert "autoagent.toml" in await server.look()


async def test_the_same_change_made_again_is_named_again(server: Server) -> None:
    for count in (1, 2):
        git(server.workspace.folder, "update-ref", "-d", CANDIDATE)
        assert CANDIDATE in await server.look()
        bodies = await server.bodies(TAMPERED)
        assert len(bodies) == count
        accept(server.workspace, _things(bodies[-1]))
        assert await server.look() == ""


async def test_a_lost_candidate_is_told_once(workspace: Workspace) -> None:
    async with serving(workspace) as one:
        await one.begin()
        await one.look()
    git(workspace.folder, "update-ref", "-d", CANDIDATE)
    git(workspace.folder, "reflog", "expire", "--expire=now", "--all")
    git(workspace.folder, "gc", "-q", "--prune=now")
    body = ""
    for _ in range(2):
        async with serving(workspace) as one:
            assert CANDIDATE in await one.look()
            (body,) = await one.bodies(TAMPERED)
    accept(workspace, _things(body))
    async with serving(workspace) as one:
        assert await one.look() == ""


async def test_a_ref_that_was_moved_is_put_back_before_anything_is_written_on_top(server: Server) -> None:
    folder = server.workspace.folder
    before = git(folder, "rev-parse", LEDGER)
    git(folder, "update-ref", LEDGER, "HEAD")
    await server.record.begin(await server.record.repo.read(), "another")
    assert git(folder, "rev-parse", f"{LEDGER}^") == before
    assert LEDGER in await server.look()


async def test_before_the_first_experiment_everything_is_taken_as_it_is(workspace: Workspace) -> None:
    settings = workspace.folder / "autoagent.toml"
    async with serving(workspace) as one:
        assert await one.look() == ""
        settings.write_text("# being set up\n", encoding="utf-8")
        assert await one.look() == ""
        await one.begin()
        settings.write_text("# changed while the baseline was measured\n", encoding="utf-8")
        assert "autoagent.toml" in await one.look()


async def test_hidden_tasks_are_neither_named_nor_counted(server: Server) -> None:
    folder = server.workspace.folder.parent / "hidden"
    write_tree(folder / "second", ANSWER_TASK)
    write_tree(folder / "third", ANSWER_TASK)
    assert "hidden tasks." in await server.look()
    ledger = "".join(await server.record.ledger.lines())
    assert not any(name in ledger for name in ("secret", "second", "third"))
    (thing,) = _things((await server.bodies(TAMPERED))[0])
    assert thing.name == ""


async def test_a_server_that_only_reads_tells_what_the_other_found(server: Server) -> None:
    rewrite_unseen(server.workspace.folder / "autoagent.toml")
    async with serving(server.workspace) as reader:
        assert await reader.look() == ""
        said = await server.look()
        await reader.record.catch_up()
        assert await reader.look() == said
        update_row(server.workspace.folder)
        await server.look()
        await reader.record.catch_up()
        assert "from entry 0 on" in await reader.look()
        assert await reader.record.ledger.lines() == await server.record.ledger.lines()


def _things(body: str) -> tuple[Thing, ...]:
    return Tampered.model_validate_json(body).things


def _without_ledger(refs: str) -> list[str]:
    return [line for line in refs.splitlines() if not line.endswith(LEDGER)]


async def test_a_write_that_the_kernel_does_not_tell_of_is_found_where_something_is_decided(server: Server) -> None:
    file = server.workspace.folder / "tasks" / "apple" / "instruction.md"
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        assert await server.look() == ""
        mapped[0:1] = b"#"
        mapped.flush()
        assert "tasks apple" in await server.look(is_thorough=True)
        assert "tasks apple" in await server.look()


@pytest.mark.parametrize("level", ["apple", "tasks", "."])
async def test_a_folder_that_stands_in_for_another_is_found(server: Server, level: str) -> None:
    folder = (server.workspace.folder / "tasks" / "apple" / "instruction.md").parents[
        {"apple": 0, "tasks": 1, ".": 2}[level]
    ]
    copy = server.workspace.folder.parent / "copy"
    shutil.copytree(folder, copy, symlinks=True)
    assert await server.look() == ""
    inner = copy / (server.workspace.folder / "tasks" / "apple" / "instruction.md").relative_to(folder)
    inner.write_text("Do nothing.\n", encoding="utf-8")
    folder.rename(copy.with_name("old"))
    copy.rename(folder)
    assert "tasks apple" in await server.look()


async def test_where_nothing_was_written_to_no_file_is_looked_at(server: Server) -> None:
    await server.look()
    file = server.workspace.folder / "tasks" / "apple" / "instruction.md"
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        await server.look()
        await server.look()
        mapped[0:1] = b"#"
        mapped.flush()
        assert await server.look() == ""
