"""Commits and patches with the editable files of a candidate, made beside the user's index and working tree. Blocks."""

from __future__ import annotations

import re

from autoagent_mcp.errors import RepoError
from autoagent_mcp.repo.git import Git
from autoagent_mcp.repo.listings import split
from autoagent_mcp.workspace import EDITABLE

FALLBACK_IDENTITY = "autoagent-mcp <autoagent-mcp@localhost>"
"""Whose commits ours are where git knows nobody."""
_NO_COMMIT = "0" * 40


def identity(git: Git) -> str:
    """Return the user's name and address, as git itself finds them; ours where it finds none."""
    found = git.try_text("var", "GIT_COMMITTER_IDENT")
    match = re.fullmatch(r"(.+ <[^<>\n]+>) \d+ [+-]\d+", found or "")
    return match[1] if match else FALLBACK_IDENTITY


def commit_on(git: Git, base: str, candidate: str, message: str) -> str:
    """Make a commit on `base` that has its files with the editable ones of `candidate`; no ref moves.

    Where `base` has these files already, that is `base` itself.
    """
    commit, base_tree = git.text("rev-parse", f"{base}^{{commit}}", f"{base}^{{tree}}").split("\n")
    rows = [*_rows_of(git, commit, is_editable=False), *_rows_of(git, candidate, is_editable=True)]
    tree = git.run("mktree", "-z", data=b"".join(row + b"\0" for row in rows)).decode().strip()
    if tree == base_tree:
        return commit
    name, _, address = identity(git).rpartition(" ")
    author = {"NAME": name, "EMAIL": address.strip("<>")}
    env = {f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in author.items()}
    made = git.run("commit-tree", tree, "-p", commit, data=message.encode(errors="replace"), env=env)
    return made.decode().strip()


def make_branch(git: Git, name: str, commit: str) -> None:
    """Make a branch at a commit, without a change of the current one.

    Raises:
        RepoError: There is such a branch, or it cannot be called so.
    """
    if git.try_text("check-ref-format", "--branch", name) != name or name.startswith("-"):
        raise RepoError(f"A branch cannot be called {name!r}.", "Choose another name.")
    ref = f"refs/heads/{name}"
    if git.try_text("rev-parse", "--verify", "--quiet", ref) is not None:
        raise RepoError(f"There is a branch {name} already.", "Choose another name: nothing is overwritten.")
    git.run("update-ref", "-m", "autoagent: promote", ref, commit, _NO_COMMIT)


def patch(git: Git, commit: str) -> bytes:
    """Return a commit as a patch that `git apply` and `git am` take, whatever the user has set for diffs."""
    form = ("--stdout", "-1", "--no-attach", "--no-thread", "--no-cover-letter", "--no-base", "--no-notes")
    content = ("--binary", "--full-index", "-U3", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
    prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
    return git.run("format-patch", *form, *content, *prefixes, commit)


def _rows_of(git: Git, commit: str, *, is_editable: bool) -> list[bytes]:
    """Top rows of a commit's tree: those of the editable files, or all others."""
    names = {name.encode() for name in EDITABLE}
    rows = split(git.run("ls-tree", "-z", "--full-tree", commit))
    return [row for row in rows if (row.partition(b"\t")[2] in names) is is_editable]
