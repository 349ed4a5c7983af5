"""Candidates, keep and revert in the user's repository, without touching anything else of it.

All is done with plumbing: the user's index, HEAD, hooks and signing settings play no part in a snapshot, and a keep
moves the branch by one commit and only the index entries of the editable files. Every change of a ref is one atomic
step, so a kill at any moment leaves the state before it or after it.

refs/autoagent/experiments/<n>   the candidate of experiment n; older versions of it are the commit's ancestors
refs/autoagent/incumbent         the kept commit whose keep was carried out to its end
refs/autoagent/ledger            one commit per append, each with the lines it added in ledger.jsonl
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import anyio
from typing_extensions import Self

from autoagent_mcp.errors import RepoError, SetupError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.repo import commits, exclude, files
from autoagent_mcp.repo.files import Editable
from autoagent_mcp.repo.git import Git
from autoagent_mcp.repo.listings import Listed, listed_in_index, listed_in_tree, split
from autoagent_mcp.repo.refs import EXPERIMENTS, REFS, MovedRef, Refs
from autoagent_mcp.workspace import EDITABLE, Workspace

_LEDGER = f"{REFS}/ledger"
_INCUMBENT = f"{REFS}/incumbent"
_LEDGER_FILE = "ledger.jsonl"
_IN_PROGRESS = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}

T = TypeVar("T")


class Snapshot(Frozen):
    """A candidate as git holds it."""

    commit: str
    tree: str


class Repo:
    """The workspace's repository; made by `open`. Git runs in a worker thread, one call at a time."""

    def __init__(self, workspace: Workspace, git: Git, folder: Path) -> None:
        self._workspace = workspace
        self._git = git
        self._folder = folder
        self._refs = Refs(git, folder)
        self._limiter = anyio.CapacityLimiter(1)

    @classmethod
    async def open(cls, workspace: Workspace) -> Self:
        """Open the repository whose top folder is the workspace.

        Raises:
            SetupError: There is no git, no repository, or not one that a harness can be kept in.
            RepoError: There is no commit yet, HEAD is detached, or a merge or the like is under way.
        """
        git, folder = await anyio.to_thread.run_sync(find, workspace.folder)
        repo = cls(workspace, git, folder)
        await repo._in_thread(repo._check_head)
        return repo

    async def check(self) -> None:
        """See that a keep would be possible now.

        Raises:
            RepoError: As `open`, or the index is locked.
        """
        await self._in_thread(self._check)

    async def read(self) -> Editable:
        """Read the editable files from the working tree. Raises: RepoError, see `files.read`."""
        return await self._in_thread(lambda: files.read(self._workspace))

    async def write(self, target: Editable, *, replacing: Editable) -> None:
        """Make the editable files those of `target`; git is not touched. Raises: RepoError, OSError, see `restore`."""
        await self._in_thread(lambda: files.restore(self._workspace, target, replacing=replacing))

    async def at(self, commit: str) -> Editable:
        """Read the editable files of a commit. Raises: RepoError: there is no such commit, or a link is in it."""
        return await self._in_thread(lambda: self._at(commit))

    async def head(self) -> str:
        """Return the commit that the current branch is at."""
        return await self._in_thread(lambda: self._git.text("rev-parse", "HEAD"))

    async def snapshot(self, number: int, editable: Editable, message: str) -> Snapshot:
        """Put the files under refs/autoagent/experiments/<number>; an earlier version there becomes the parent.

        Raises:
            RepoError: Git could not write.
        """
        return await self._in_thread(lambda: self._snapshot(f"{EXPERIMENTS}/{number}", editable, message))

    async def candidate(self, number: int) -> str | None:
        """Return the commit of an experiment's candidate, in its newest version; None where the ref is gone."""
        ref = f"{EXPERIMENTS}/{number}"
        return await self._in_thread(lambda: self._git.try_text("rev-parse", "--verify", "--quiet", ref))

    async def prepare_keep(self, candidate: str, message: str) -> str:
        """Make, but do not move to, the commit that has HEAD's files with the editable ones of `candidate`.

        Where HEAD has these files already (the user committed them), that is HEAD itself.
        """
        return await self._in_thread(lambda: commits.commit_on(self._git, "HEAD", candidate, message))

    async def commit_on(self, base: str, candidate: str, message: str) -> str:
        """Make a commit on `base` with the editable files of `candidate`; see `commits.commit_on`."""
        return await self._in_thread(lambda: commits.commit_on(self._git, base, candidate, message))

    async def make_branch(self, name: str, commit: str) -> None:
        """Make a branch that is not there yet. Raises: RepoError, see `commits.make_branch`."""
        await self._in_thread(lambda: commits.make_branch(self._git, name, commit))

    async def patch(self, commit: str) -> bytes:
        """Return a commit as a patch for `git apply` or `git am`."""
        return await self._in_thread(lambda: commits.patch(self._git, commit))

    async def kept(self) -> str | None:
        """Return the commit whose keep was last carried out to its end."""
        return await self._in_thread(lambda: self._git.try_text("rev-parse", "--verify", "--quiet", _INCUMBENT))

    async def mark_kept(self, commit: str) -> None:
        """Note that the keep of `commit` is done; `keep` does so itself."""
        await self._in_thread(lambda: self._mark_kept(commit))

    async def can_keep(self, commit: str) -> bool:
        """Tell whether the current branch is at `commit`, past it, or just before it."""
        return await self._in_thread(lambda: self._step_to(commit) is not None)

    async def keep(self, commit: str) -> None:
        """Move the current branch to `commit` and the index entries of the editable files with it. May be repeated.

        Raises:
            RepoError: The branch has gone elsewhere, or the index is locked.
        """
        await self._in_thread(lambda: self._keep(commit))

    async def revert(self, commit: str, *, replacing: Editable) -> None:
        """Make the editable files in the working tree, and what of them was staged, those of `commit`. May be repeated.

        Raises:
            RepoError: The files are not `replacing` any more, or the index is locked.
            OSError: The disk is full.
        """
        await self._in_thread(lambda: self._revert(commit, replacing))

    async def append_ledger(self, lines: Sequence[str]) -> None:
        """Append lines to refs/autoagent/ledger in one commit."""
        await self._in_thread(lambda: self._append_ledger(lines))

    async def read_ledger(self) -> list[str]:
        """Return all lines of refs/autoagent/ledger, oldest first."""
        return await self._in_thread(self._read_ledger)

    async def last_ledger_line(self) -> str | None:
        """Return the newest line of refs/autoagent/ledger, whatever its length; None where there is none."""
        found = await self._in_thread(lambda: self._git.try_text("show", f"{_LEDGER}:{_LEDGER_FILE}"))
        return found.splitlines()[-1] if found else None

    async def watch_refs(self, candidates: Sequence[str]) -> None:
        """Take the refs below refs/autoagent for this server's own from now on; see `Refs.start`."""
        await self._in_thread(lambda: self._refs.start(candidates))

    async def moved_refs(self) -> tuple[MovedRef, ...]:
        """Put back what others made of the refs below refs/autoagent, and return what was moved; each is told once."""
        return await self._in_thread(self._refs.take_moved)

    def ref_folders(self) -> dict[Path, frozenset[str] | None]:
        """Return the folders that git writes to when it changes one of those refs; see `Refs.folders`."""
        return self._refs.folders()

    async def exclude(self, pattern: str) -> None:
        """Have git pass over files of ours here, without a line in a file of the user's; see `exclude.exclude`."""
        await self._in_thread(lambda: exclude.exclude(self._folder, pattern))

    async def clear_locks(self, since: float | None) -> None:
        """Remove lock files that a killed git of ours left under refs/autoagent, and files that it left unfinished.

        Only for the one server that holds the workspace's lock, when it starts. Where a keep was interrupted, `since`
        is when it began, in seconds since the epoch: locks of index, HEAD and branch that are younger are its own.
        """
        await self._in_thread(lambda: self._clear_locks(since))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    def _check(self) -> None:
        self._check_head()
        self._check_index()

    def _check_head(self) -> None:
        if self._git.try_text("rev-parse", "--verify", "--quiet", "HEAD") is None:
            raise RepoError("The repository has no commit yet.", "Commit what is there: git add -A && git commit.")
        if self._git.try_text("symbolic-ref", "--quiet", "HEAD") is None:
            raise RepoError(
                "HEAD is detached, so there is no branch to keep changes on.", "Switch to one: git switch -c autoagent."
            )
        for name, what in _IN_PROGRESS.items():
            if (self._folder / name).exists():
                raise RepoError(f"A {what} is in progress.", f"Finish it or abort it (git {what} --abort).")

    def _check_index(self) -> None:
        lock = self._folder / "index.lock"
        if lock.exists():
            raise RepoError(
                f"Another git works on the index ({lock} is there).",
                "Let it end and call again; if no git runs, delete that file.",
            )

    def _at(self, commit: str) -> Editable:
        entries = self._entries(commit)
        if any(entry.mode not in {"100644", "100755"} for entry in entries):
            raise RepoError(f"The editable files of commit {commit[:10]} hold a link.", "Put the files themselves.")
        blobs = self._blobs([entry.sha for entry in entries])
        return Editable(
            files={entry.path: blob for entry, blob in zip(entries, blobs, strict=True)},
            executable=frozenset(entry.path for entry in entries if entry.mode == "100755"),
        )

    def _entries(self, commit: str) -> list[Listed]:
        listed = self._git.run("ls-tree", "-r", "-z", "--full-tree", commit, "--", *EDITABLE)
        return [listed_in_tree(row) for row in split(listed)]

    def _blobs(self, names: Sequence[str]) -> list[bytes]:
        """Read objects in one process; `names` are whatever `git cat-file --batch` takes."""
        found = self._git.run("cat-file", "--batch", data="".join(f"{name}\n" for name in names).encode())
        blobs: list[bytes] = []
        place = 0
        for name in names:
            end = found.index(b"\n", place)
            head = found[place:end].split()
            if len(head) != 3:  # noqa: PLR2004 - <sha> <type> <size>, or "<name> missing"
                raise RepoError(f"Git has lost the object {name}.", "Look at the repository with git fsck.")
            place = end + 1 + int(head[2])
            blobs.append(found[end + 1 : place])
            place += 1
        return blobs

    def _snapshot(self, ref: str, editable: Editable, message: str) -> Snapshot:
        content = {
            name: (b"100755" if name in editable.executable else b"100644", data)
            for name, data in editable.files.items()
        }
        self._commit(ref, content, message)
        commit, tree = self._git.text("rev-parse", ref, f"{ref}^{{tree}}").split("\n")
        return Snapshot(commit=commit, tree=tree)

    def _commit(self, ref: str, content: dict[str, tuple[bytes, bytes]], message: str) -> None:
        """Make a commit with exactly this content on top of `ref` and move `ref` to it, in one process.

        The format is git-fast-import(1). It takes the bytes as they are (no filters), runs no hooks, signs nothing.
        """
        self._refs.mend()
        who = commits.identity(self._git)
        parts = [
            b"commit %s\n" % ref.encode(),
            b"committer %s %d +0000\n" % (who.encode(), int(time.time())),
            _data(message.encode(errors="replace")),
        ]
        if old := self._git.try_text("rev-parse", "--verify", "--quiet", ref):
            parts += [b"from %s\n" % old.encode(), b"deleteall\n"]
        for name, (mode, data) in content.items():
            quoted = name.replace("\\", "\\\\").replace('"', '\\"')
            parts += [b'M %s inline "%s"\n' % (mode, quoted.encode()), _data(data)]
        self._git.run("fast-import", "--quiet", "--done", data=b"".join([*parts, b"done\n"]))
        self._refs.note(ref)

    def _step_to(self, commit: str) -> str | None:
        """What to do to have `commit` on the branch: "nothing", "move", or None where it cannot be had."""
        head = self._git.text("rev-parse", "HEAD")
        if self._git.try_text("merge-base", "--is-ancestor", commit, head) is not None:
            return "nothing"
        parent = self._git.try_text("rev-parse", "--verify", "--quiet", f"{commit}^")
        return "move" if parent == head else None

    def _keep(self, commit: str) -> None:
        self._check_index()
        step = self._step_to(commit)
        if step is None:
            raise RepoError("The branch has moved on meanwhile.", "Call keep_change again.")
        if step == "move":
            branch = self._git.text("symbolic-ref", "HEAD")
            parent = self._git.text("rev-parse", f"{commit}^")
            self._git.run("update-ref", "-m", "autoagent: keep", branch, commit, parent)
        self._set_index(commit)
        self._mark_kept(commit)

    def _mark_kept(self, commit: str) -> None:
        self._refs.mend()
        self._git.run("update-ref", _INCUMBENT, commit)
        self._refs.note(_INCUMBENT)

    def _set_index(self, commit: str) -> None:
        """Make the index entries of the editable files those of `commit`; where they are, the index is not written."""
        wanted = {entry.path: entry for entry in self._entries(commit)}
        listed = split(self._git.run("ls-files", "--stage", "-z", "--", *EDITABLE))
        found = {entry.path: entry for entry in map(listed_in_index, listed)}
        gone = [f"0 {'0' * 40}\t{path}\0" for path in sorted(found.keys() - wanted.keys())]
        new = [f"{one.mode} {one.sha}\t{one.path}\0" for one in wanted.values() if found.get(one.path) != one]
        if gone or new:
            rows = "".join([*gone, *new]).encode(errors="surrogateescape")
            self._git.run("update-index", "-z", "--index-info", data=rows)

    def _revert(self, commit: str, replacing: Editable) -> None:
        self._check_index()
        files.restore(self._workspace, self._at(commit), replacing=replacing)
        if self._git.run("diff-index", "--cached", "--name-only", "HEAD", "--", *EDITABLE):
            self._set_index(commit)

    def _append_ledger(self, lines: Sequence[str]) -> None:
        data = "".join(f"{line}\n" for line in lines).encode()
        self._commit(_LEDGER, {_LEDGER_FILE: (b"100644", data)}, f"{len(lines)} lines")

    def _read_ledger(self) -> list[str]:
        if self._git.try_text("rev-parse", "--verify", "--quiet", _LEDGER) is None:
            return []
        commits = self._git.text("rev-list", "--reverse", _LEDGER).split("\n")
        blobs = self._blobs([f"{commit}:{_LEDGER_FILE}" for commit in commits])
        return [line for blob in blobs for line in blob.decode().splitlines()]

    def _clear_locks(self, since: float | None) -> None:
        for path in (self._folder / REFS).rglob("*.lock"):
            path.unlink(missing_ok=True)
        if since is None:
            files.clear_scratch(self._workspace)
            return
        branch = self._git.try_text("symbolic-ref", "--quiet", "HEAD") or "HEAD"
        for name in ("index.lock", "HEAD.lock", f"{branch}.lock"):
            path = self._folder / name
            if path.exists() and path.stat().st_mtime >= since:
                path.unlink(missing_ok=True)


def find(folder: Path) -> tuple[Git, Path]:
    """Return git in a folder and its .git; blocks.

    Raises:
        SetupError: There is no git, no repository, or the folder is not the top of one of its own.
    """
    if not folder.is_dir():
        raise SetupError(f"There is no folder {folder}.", "Start the server with --workspace and a folder that exists.")
    git = Git(folder)
    try:
        found = git.text("rev-parse", "--is-bare-repository", "--absolute-git-dir", "--git-common-dir").split("\n")
    except RepoError as error:
        hint = "Make it one: git init && git add -A && git commit -m start."
        if "not a git repository" not in error.problem:
            hint = error.hint
        raise SetupError(f"{folder} is not a git repository that can be used ({error.problem})", hint) from error
    if found[0] == "true":
        raise SetupError(f"{folder} is a bare repository.", "Use a clone with a working tree.")
    own, common = Path(found[1]), (folder / found[2]).resolve()
    top = Path(git.text("rev-parse", "--show-toplevel"))
    if top.resolve() != folder.resolve():
        raise SetupError(
            f"{folder} is a folder inside the repository {top}.",
            f"Start the server with --workspace {top}, or make the folder a repository of its own: git init.",
        )
    if own.resolve() != common:
        raise SetupError(
            f"{folder} is a linked worktree, which shares its refs with {common}.",
            "Use the main working tree, or make a clone: git clone.",
        )
    return git, own


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)
