"""Our refs, watched: what this server knows of them, and what somebody else made of them.

They belong to this tool alone, so what was changed from outside is put back. Git itself is asked only after the file
system showed that something happened to the files that hold them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.repo.git import Git

REFS = "refs/autoagent"
EXPERIMENTS = f"{REFS}/experiments"
_PLACES = ("packed-refs", "reftable/tables.list", REFS, EXPERIMENTS, f"{REFS}/ledger", f"{REFS}/incumbent")
"""What git writes to when it changes a ref: a folder too, as it renames the new file into its place."""
_LOOKED_AT = 250
"""Files that are looked at in one go: of many experiments each comes in its turn, for those that git did not write."""
_FACTS: Callable[[os.stat_result], tuple[int, ...]] = attrgetter("st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
"""What changes with every write; the time of change (ctime) cannot be set by any program."""


class MovedRef(Frozen):
    """A ref that is not where this server left it."""

    ref: str
    found: str
    """The commit it was found at; "" where it was gone."""
    is_put_back: bool
    """False where git has lost the commit that it was at."""


class Refs:
    """Looks at the refs below refs/autoagent. Blocks; one thread at a time."""

    def __init__(self, git: Git, folder: Path) -> None:
        self._git = git
        self._folder = folder
        self._known: dict[str, str] | None = None
        self._moved: list[MovedRef] = []
        self._stats: dict[str, tuple[int, ...] | None] = {}
        self._loose: list[str] = []
        self._turn = 0

    def folders(self) -> dict[Path, frozenset[str] | None]:
        """Return where git writes when it changes one of them: which names there, or None for all."""
        below = ("reftable", REFS, EXPERIMENTS)
        return {self._folder: frozenset({"packed-refs"}), **{self._folder / name: None for name in below}}

    def start(self, candidates: Iterable[str]) -> None:
        """Take the refs as they are, but those of experiments for what the ledger says of them.

        Args:
            candidates: Each experiment's commit, in order; its ref is there or at a later version.
        """
        self._known = self._list()
        for number, commit in enumerate(candidates):
            ref = f"{EXPERIMENTS}/{number}"
            found = self._known.get(ref)
            if found != commit and not (found and self._is_ancestor(commit, found)):
                self._known[ref] = commit
        self._stats = {}

    def note(self, *refs: str) -> None:
        """Take in what this server has just written to these refs."""
        if self._known is not None:
            for ref in refs:
                self._known[ref] = self._git.text("rev-parse", ref)

    def mend(self) -> None:
        """Put back what was moved since; `take_moved` tells of it."""
        if self._known is None or not self._is_touched():
            return
        found, known = self._list(), self._known
        for ref in sorted(found.keys() | known.keys()):
            if found.get(ref) != known.get(ref):
                self._put_back(known, ref, found.get(ref, ""))

    def take_moved(self) -> tuple[MovedRef, ...]:
        """Put back what was moved, and return all that was since this was asked last."""
        self.mend()
        moved, self._moved = tuple(self._moved), []
        return moved

    def _put_back(self, known: dict[str, str], ref: str, found: str) -> None:
        is_put_back = self._set(ref, known.get(ref))
        self._moved.append(MovedRef(ref=ref, found=found, is_put_back=is_put_back))
        if not is_put_back:
            known.pop(ref, None)
            known |= {ref: found} if found else {}
        self._stats = {}

    def _set(self, ref: str, commit: str | None) -> bool:
        """Set a ref, or delete it for None; one that git cannot read is taken away first."""
        words = ("update-ref", ref, commit) if commit else ("update-ref", "-d", ref)
        if commit and self._git.try_text("cat-file", "-e", commit) is None:
            return False
        if self._git.try_text(*words) is not None:
            return True
        (self._folder / ref).unlink(missing_ok=True)
        return self._git.try_text(*words) is not None

    def _is_ancestor(self, commit: str, descendant: str) -> bool:
        return self._git.try_text("merge-base", "--is-ancestor", commit, descendant) is not None

    def _list(self) -> dict[str, str]:
        listed = self._git.text("for-each-ref", "--format=%(refname) %(objectname)", REFS)
        return dict(line.split(" ") for line in listed.splitlines())

    def _is_touched(self) -> bool:
        """Tell whether what the refs are read from was written to since this was asked last."""
        folder = str(self._folder)
        looked_at = (*_PLACES, *self._loose[self._turn : self._turn + _LOOKED_AT])
        self._turn = self._turn + _LOOKED_AT if self._turn + _LOOKED_AT < len(self._loose) else 0
        if self._stats and all(_stat(f"{folder}/{name}") == self._stats[name] for name in looked_at):
            return False
        names = (*_PLACES, *(ref for ref in self._known or () if ref.startswith(EXPERIMENTS)))
        self._stats = {name: _stat(f"{folder}/{name}") for name in names}
        self._loose = [name for name in names[len(_PLACES) :] if self._stats[name]]
        return True


def _stat(path: str) -> tuple[int, ...] | None:
    try:
        return _FACTS(os.lstat(path))
    except OSError:
        return None
