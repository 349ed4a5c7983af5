"""The repository: snapshots, keep, revert and the ledger's ref, on real git."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.workspaces import git, make_workspace

from autoagent_mcp.errors import RepoError
from autoagent_mcp.repo import Editable, Repo
from autoagent_mcp.workspace import Workspace

CHANGED = b"MODEL = 'stub'\nPROMPT = 'better'\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = make_workspace(tmp_path / "work", agent="MODEL = 'stub'\n")
    (made.folder / "notes.txt").write_text("committed\n", encoding="utf-8")
    git(made.folder, "add", "notes.txt")
    git(made.folder, "commit", "-qm", "Add notes")
    made.state.mkdir()
    return made


def user_state(workspace: Workspace) -> dict[str, object]:
    """All that a snapshot must leave as it is."""
    folder = workspace.folder
    return {
        "head": (folder / ".git" / "HEAD").read_bytes(),
        "branch": git(folder, "rev-parse", "main"),
        "index": (folder / ".git" / "index").read_bytes(),
        "files": {
            str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts
        },
    }


def make_dirty(workspace: Workspace) -> None:
    """Leave unrelated changes: one staged, one not, one untracked."""
    (workspace.folder / "notes.txt").write_text("staged\n", encoding="utf-8")
    git(workspace.folder, "add", "notes.txt")
    (workspace.folder / "notes.txt").write_text("staged, then edited\n", encoding="utf-8")
    (workspace.folder / "scratch.txt").write_text("untracked\n", encoding="utf-8")


async def keep_now(repo: Repo, number: int = 1) -> str:
    editable = await repo.read()
    snapshot = await repo.snapshot(number, editable, "try")
    commit = await repo.prepare_keep(snapshot.commit, "Keep it")
    await repo.keep(commit)
    return commit


async def test_a_snapshot_holds_the_editable_files_and_leaves_everything_of_the_user_alone(
    workspace: Workspace,
) -> None:
    make_dirty(workspace)
    workspace.agent.write_bytes(CHANGED)
    (workspace.folder / ".agent" / "deep").mkdir(parents=True)
    (workspace.folder / ".agent" / "deep" / 'odd "name" \u00fc.md').write_bytes(b"\x00\r\nbytes")
    (workspace.folder / ".agent" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (workspace.folder / ".agent" / "run.sh").chmod(0o755)
    repo = await Repo.open(workspace)
    before = user_state(workspace)

    editable = await repo.read()
    snapshot = await repo.snapshot(3, editable, "A better prompt")

    assert user_state(workspace) == before
    assert editable.files == {
        "agent.py": CHANGED,
        '.agent/deep/odd "name" \u00fc.md': b"\x00\r\nbytes",
        ".agent/run.sh": b"#!/bin/sh\n",
    }
    assert await repo.at(snapshot.commit) == editable
    assert git(workspace.folder, "rev-parse", "refs/autoagent/experiments/3") == snapshot.commit
    assert git(workspace.folder, "rev-parse", f"{snapshot.commit}^{{tree}}") == snapshot.tree


async def test_the_same_files_give_the_same_tree_and_an_older_version_stays_reachable(workspace: Workspace) -> None:
    repo = await Repo.open(workspace)
    editable = await repo.read()
    first = await repo.snapshot(0, editable, "one")
    other = await repo.snapshot(0, Editable(files={"agent.py": CHANGED}), "two")
    again = await repo.snapshot(1, editable, "three")

    assert first.tree == again.tree != other.tree
    assert git(workspace.folder, "rev-parse", "refs/autoagent/experiments/0^") == first.commit


async def test_hooks_do_not_run_and_signing_does_not_ask(workspace: Workspace) -> None:
    hooks = workspace.folder / ".git" / "hooks"
    for name in ("pre-commit", "post-commit", "reference-transaction", "post-index-change"):
        (hooks / name).write_text("#!/bin/sh\ntouch hook-ran\nexit 1\n", encoding="utf-8")
        (hooks / name).chmod(0o755)
    git(workspace.folder, "config", "commit.gpgsign", "true")
    git(workspace.folder, "config", "gpg.program", "/bin/false")
    workspace.agent.write_bytes(CHANGED)
    repo = await Repo.open(workspace)

    commit = await keep_now(repo)

    assert git(workspace.folder, "rev-parse", "HEAD") == commit
    assert not (workspace.folder / "hook-ran").exists()


async def test_without_a_user_name_a_commit_is_made_under_the_servers(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    git(workspace.folder, "config", "--unset", "user.name")
    git(workspace.folder, "config", "--unset", "user.email")
    git(workspace.folder, "config", "user.useConfigOnly", "true")
    workspace.agent.write_bytes(CHANGED)

    commit = await keep_now(await Repo.open(workspace))

    assert git(workspace.folder, "log", "-1", "--format=%an <%ae>", commit) == "autoagent-mcp <autoagent-mcp@localhost>"


async def test_git_variables_of_the_environment_point_nowhere(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    repo = await Repo.open(workspace)
    snapshot = await repo.snapshot(0, await repo.read(), "one")
    monkeypatch.undo()

    assert git(workspace.folder, "rev-parse", "refs/autoagent/experiments/0") == snapshot.commit


async def test_keep_commits_the_editable_files_alone(workspace: Workspace) -> None:
    make_dirty(workspace)
    parent = git(workspace.folder, "rev-parse", "HEAD")
    workspace.agent.write_bytes(CHANGED)
    (workspace.folder / ".agent").mkdir()
    (workspace.folder / ".agent" / "prompt.md").write_bytes(b"Think.\n")
    before = user_state(workspace)["files"]

    commit = await keep_now(await Repo.open(workspace))

    assert git(workspace.folder, "rev-parse", "HEAD^") == parent
    assert git(workspace.folder, "rev-parse", "main") == commit
    changed = git(workspace.folder, "diff-tree", "--no-commit-id", "--name-only", "-r", commit).split("\n")
    assert changed == [".agent/prompt.md", "agent.py"]
    assert git(workspace.folder, "status", "--porcelain").split("\n") == ["MM notes.txt", "?? scratch.txt"]
    assert git(workspace.folder, "show", ":notes.txt") == "staged"
    assert user_state(workspace)["files"] == before


async def test_keep_forgets_files_that_the_change_removed(workspace: Workspace) -> None:
    (workspace.folder / ".agent").mkdir()
    (workspace.folder / ".agent" / "old.md").write_bytes(b"old\n")
    git(workspace.folder, "add", "-A")
    git(workspace.folder, "commit", "-qm", "Add a prompt")
    (workspace.folder / ".agent" / "old.md").unlink()

    await keep_now(await Repo.open(workspace))

    assert git(workspace.folder, "ls-files", ".agent") == ""
    assert git(workspace.folder, "status", "--porcelain") == ""


async def test_keep_takes_what_the_user_has_committed_already_as_it_is(workspace: Workspace) -> None:
    workspace.agent.write_bytes(CHANGED)
    git(workspace.folder, "commit", "-qam", "My own commit")
    head = git(workspace.folder, "rev-parse", "HEAD")

    assert await keep_now(await Repo.open(workspace)) == head
    assert git(workspace.folder, "rev-parse", "HEAD") == head


async def test_keep_works_where_agent_py_was_never_tracked(workspace: Workspace) -> None:
    git(workspace.folder, "rm", "-q", "--cached", "agent.py")
    git(workspace.folder, "commit", "-qm", "Forget agent.py")

    await keep_now(await Repo.open(workspace))

    assert git(workspace.folder, "show", "HEAD:agent.py") == "MODEL = 'stub'"
    assert git(workspace.folder, "status", "--porcelain") == ""


async def test_a_keep_whose_branch_moved_on_moves_nothing(workspace: Workspace) -> None:
    repo = await Repo.open(workspace)
    workspace.agent.write_bytes(CHANGED)
    snapshot = await repo.snapshot(1, await repo.read(), "try")
    commit = await repo.prepare_keep(snapshot.commit, "Keep it")
    git(workspace.folder, "commit", "-q", "--allow-empty", "-m", "The user goes on")
    head = git(workspace.folder, "rev-parse", "HEAD")

    assert not await repo.can_keep(commit)
    with pytest.raises(RepoError, match="moved on"):
        await repo.keep(commit)
    assert git(workspace.folder, "rev-parse", "HEAD") == head
    assert await repo.kept() is None


async def test_revert_puts_back_changed_added_and_removed_files_and_touches_nothing_else(workspace: Workspace) -> None:
    (workspace.folder / ".agent").mkdir()
    (workspace.folder / ".agent" / "a.md").write_bytes(b"a\n")
    (workspace.folder / ".agent" / "tool.sh").write_bytes(b"#!/bin/sh\n")
    (workspace.folder / ".agent" / "tool.sh").chmod(0o755)
    git(workspace.folder, "add", "-A")
    git(workspace.folder, "commit", "-qm", "Add .agent")
    make_dirty(workspace)
    repo = await Repo.open(workspace)
    before = user_state(workspace)
    old = await repo.snapshot(0, await repo.read(), "old")
    workspace.agent.write_bytes(CHANGED)
    (workspace.folder / ".agent" / "a.md").unlink()
    (workspace.folder / ".agent" / "tool.sh").unlink()
    (workspace.folder / ".agent" / "a.md").mkdir()
    (workspace.folder / ".agent" / "a.md" / "b.md").write_bytes(b"b\n")

    await repo.revert(old.commit, replacing=await repo.read())

    assert user_state(workspace) == before
    assert os.access(workspace.folder / ".agent" / "tool.sh", os.X_OK)
    assert git(workspace.folder, "status", "--porcelain").split("\n") == ["MM notes.txt", "?? scratch.txt"]


async def test_revert_takes_back_what_of_the_harness_was_staged(workspace: Workspace) -> None:
    repo = await Repo.open(workspace)
    old = await repo.snapshot(0, await repo.read(), "old")
    make_dirty(workspace)
    workspace.agent.write_bytes(CHANGED)
    git(workspace.folder, "add", "agent.py")

    await repo.revert(old.commit, replacing=await repo.read())

    assert git(workspace.folder, "status", "--porcelain").split("\n") == ["MM notes.txt", "?? scratch.txt"]


async def test_revert_overwrites_nothing_that_was_edited_meanwhile(workspace: Workspace) -> None:
    repo = await Repo.open(workspace)
    old = await repo.snapshot(0, await repo.read(), "old")
    seen = await repo.read()
    workspace.agent.write_bytes(CHANGED)

    with pytest.raises(RepoError, match="edited from elsewhere"):
        await repo.revert(old.commit, replacing=seen)
    assert workspace.agent.read_bytes() == CHANGED


async def test_the_ledger_ref_returns_every_line_in_order(workspace: Workspace) -> None:
    repo = await Repo.open(workspace)
    assert await repo.read_ledger() == []
    assert await repo.last_ledger_line() is None
    await repo.append_ledger(['{"seq": 0}', '{"seq": 1}'])
    await repo.append_ledger(['{"seq": 2, "text": "\u00fc"}'])

    assert await repo.read_ledger() == ['{"seq": 0}', '{"seq": 1}', '{"seq": 2, "text": "\u00fc"}']
    assert await repo.last_ledger_line() == '{"seq": 2, "text": "\u00fc"}'


KILLED = """
import sys
from pathlib import Path
import anyio
from autoagent_mcp.repo import Repo
from autoagent_mcp.workspace import Workspace

async def main():
    workspace = Workspace(folder=Path(sys.argv[1]))
    repo = await Repo.open(workspace)
    done = len(await repo.read_ledger())
    print("ready", flush=True)
    while True:
        done += 1
        workspace.agent.write_text(f"N = {done}\\n")
        editable = await repo.read()
        snapshot = await repo.snapshot(done, editable, "try")
        commit = await repo.prepare_keep(snapshot.commit, f"keep {done}")
        await repo.append_ledger([f"{done} {commit}"])
        await repo.keep(commit)

anyio.run(main)
"""


async def test_a_kill_at_any_moment_leaves_git_whole(workspace: Workspace) -> None:
    began = time.time()
    make_dirty(workspace)
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    for _ in range(8):
        run_and_kill(workspace, after_sec=chance.uniform(0, 0.3))
        await recover(workspace, began)
    assert git(workspace.folder, "fsck", "--strict", "--no-dangling") == ""
    assert git(workspace.folder, "status", "--porcelain").split("\n") == ["MM notes.txt", "?? scratch.txt"]


def run_and_kill(workspace: Workspace, *, after_sec: float) -> None:
    command = [sys.executable, "-c", KILLED, str(workspace.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(after_sec)
        os.killpg(process.pid, signal.SIGKILL)


async def recover(workspace: Workspace, since: float) -> None:
    """Do what the next start does, and see that nothing is lost."""
    repo = await Repo.open(workspace)
    await repo.clear_locks(since)
    lines = await repo.read_ledger()
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    if not lines:
        return
    commit = lines[-1].split()[1]
    assert await repo.can_keep(commit)
    await repo.keep(commit)
    kept = await repo.at(commit)
    await repo.revert(commit, replacing=await repo.read())
    assert await repo.read() == kept
    assert await repo.kept() == commit == git(workspace.folder, "rev-parse", "HEAD")
