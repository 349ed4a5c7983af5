"""Repositories and harness files that cannot be used: each is refused with its cure, and left as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.workspaces import git, make_workspace

from autoagent_mcp.errors import RepoError, SetupError
from autoagent_mcp.repo import Repo
from autoagent_mcp.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = make_workspace(tmp_path / "work", agent="MODEL = 'stub'\n")
    (made.folder / "notes.txt").write_text("committed\n", encoding="utf-8")
    git(made.folder, "add", "notes.txt")
    git(made.folder, "commit", "-qm", "Add notes")
    made.state.mkdir()
    return made


async def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="git init"):
        await Repo.open(Workspace(folder=tmp_path))


async def test_a_folder_inside_a_repository_is_refused(workspace: Workspace) -> None:
    with pytest.raises(SetupError, match="inside the repository"):
        await Repo.open(Workspace(folder=workspace.folder / "tasks"))


async def test_a_linked_worktree_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    git(workspace.folder, "worktree", "add", "-q", str(tmp_path / "linked"))
    with pytest.raises(SetupError, match="linked worktree"):
        await Repo.open(Workspace(folder=tmp_path / "linked"))


async def test_a_bare_repository_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare")
    with pytest.raises(SetupError, match="bare"):
        await Repo.open(Workspace(folder=tmp_path))


async def test_a_repository_without_a_commit_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    with pytest.raises(RepoError, match="no commit yet"):
        await Repo.open(Workspace(folder=tmp_path))


async def test_a_detached_head_is_refused(workspace: Workspace) -> None:
    git(workspace.folder, "checkout", "-q", "--detach")
    with pytest.raises(RepoError, match="detached"):
        await Repo.open(workspace)


async def test_a_merge_in_progress_is_refused(workspace: Workspace) -> None:
    git(workspace.folder, "switch", "-qc", "other")
    git(workspace.folder, "commit", "-q", "--allow-empty", "-m", "There")
    git(workspace.folder, "switch", "-q", "main")
    git(workspace.folder, "commit", "-q", "--allow-empty", "-m", "Here")
    git(workspace.folder, "merge", "-q", "--no-commit", "--no-ff", "other")
    with pytest.raises(RepoError, match="merge is in progress"):
        await Repo.open(workspace)


async def test_a_locked_index_is_named_and_left(workspace: Workspace) -> None:
    lock = workspace.folder / ".git" / "index.lock"
    lock.touch()
    repo = await Repo.open(workspace)
    with pytest.raises(RepoError, match=r"index\.lock"):
        await repo.check()
    with pytest.raises(RepoError, match=r"index\.lock"):
        await repo.revert("HEAD", replacing=await repo.read())
    assert lock.exists()


@pytest.mark.parametrize("name", ["agent.py", ".agent", ".agent/inner", ".agent/inner.md"])
async def test_a_link_among_the_editable_files_is_refused(workspace: Workspace, tmp_path: Path, name: str) -> None:
    target = tmp_path / "secret"
    target.mkdir()
    (target / "key").write_text("secret", encoding="utf-8")
    path = workspace.folder / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target / "key" if name.endswith((".py", ".md")) else target)
    repo = await Repo.open(workspace)

    with pytest.raises(RepoError, match="is a link"):
        await repo.read()


async def test_a_pipe_among_the_editable_files_does_not_hang(workspace: Workspace) -> None:
    (workspace.folder / ".agent").mkdir()
    os.mkfifo(workspace.folder / ".agent" / "pipe")
    repo = await Repo.open(workspace)
    with pytest.raises(RepoError, match="neither a file"):
        await repo.read()
