"""The repository of a new workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoagent_mcp.errors import SetupError
from autoagent_mcp.repo import FALLBACK_IDENTITY, Git, find


def is_needed(folder: Path) -> bool:
    """Tell whether the folder has to be made a repository.

    Raises:
        SetupError: There is no git, or the folder lies inside a repository or is a bare one, is a linked worktree, or
            git refuses it.
    """
    if bare := next((path for path in (folder, *folder.parents) if _is_gits_own(path)), None):
        raise SetupError(f"{bare} is git's own folder, or a bare repository.", "Name a folder outside of it.")
    top = next((path for path in (folder, *folder.parents) if (path / ".git").exists()), None)
    if top is None:
        return True
    if top != folder:
        raise SetupError(
            f"{folder} lies inside the repository {top}.",
            f"Name {top} itself, a folder outside of it, or make one of its own first: git init {folder}.",
        )
    find(folder)
    return False


def _is_gits_own(path: Path) -> bool:
    return (path / "HEAD").is_file() and all((path / name).is_dir() for name in ("objects", "refs"))


def make(folder: Path) -> None:
    """Make it one.

    Raises:
        SetupError: There is no git.
        RepoError: Git refuses.
    """
    Git(folder).run("init", "--quiet")


def uncommitted(folder: Path, paths: Sequence[str]) -> list[str]:
    """Return those of the paths in which something is not committed yet, and which git is to see."""
    git = Git(folder)
    return [path for path in paths if git.try_text("status", "--porcelain", "--", path)]


def commit(folder: Path, paths: Sequence[str]) -> None:
    """Commit these files alone, in a repository without a commit; as the user, where git knows who that is.

    Raises:
        RepoError: Git refuses.
    """
    git = Git(folder)
    git.run("add", "--", *paths)
    name, _, address = FALLBACK_IDENTITY.rpartition(" ")
    is_known = git.try_text("config", "user.name") and git.try_text("config", "user.email")
    who = () if is_known else ("-c", f"user.name={name}", "-c", f"user.email={address.strip('<>')}")
    git.run(*who, "commit", "--quiet", "--no-gpg-sign", "-m", "Begin a workspace of autoagent-mcp")
