"""What a person may change in a workspace, each thing by a digest. What was not written to is not read again."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter, eq
from pathlib import Path

import autoagent_mcp
from autoagent_mcp.config import FILE_NAME
from autoagent_mcp.models.integrity import Kind, Thing
from autoagent_mcp.models.task import Task
from autoagent_mcp.task import canary
from autoagent_mcp.workspace import Workspace

PACKAGE = Path(autoagent_mcp.__file__).parent
"""Our own code."""
_LEFT_BY_EDITORS = (".DS_Store", "*.swp", "*.swo", "*~")
_DIGITS = 16
_SETTLED_NS = 100_000_000
"""Changes within one tick of the kernel's clock look like one: what is younger than this is read again."""

_Stat = tuple[int, ...]
_FACTS: Callable[[os.stat_result], _Stat] = attrgetter("st_mode", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
"""What changes with every write. The time of change (ctime) cannot be set by any program."""


class Fingerprints:
    """Takes them; blocks, one thread at a time.

    Args:
        workspace: Whose.
        package: Where our own code lies.
    """

    def __init__(self, workspace: Workspace, package: Path = PACKAGE) -> None:
        self._settings = _Tree(workspace.folder / FILE_NAME, lambda _: False)
        self._package = _Tree(package, lambda name: name == "__pycache__")
        self._tasks: dict[Path, _Tree] = {}
        self._folders: tuple[Path, ...] = ()
        self._things: tuple[Thing, ...] = ()

    def take(self, tasks: Iterable[Task], hidden: Iterable[Task]) -> tuple[Thing, ...]:
        """Return everything as it is now: the very same tuple where nothing was written to since the last time.

        A task's digest is stricter than its `Task.digest`: it covers all that could travel into a sandbox.
        """
        tasks, hidden = tuple(tasks), tuple(hidden)
        folders = tuple(task.folder for task in (*tasks, *hidden))
        if folders != self._folders or not all(tree.is_untouched() for tree in self._trees(folders)):
            self._folders, self._things = folders, self._take(tasks, hidden)
        return self._things

    def folders(self) -> dict[Path, frozenset[str] | None]:
        """Return where anything that is written changes what was taken last; None: whatever it is called."""
        found: dict[Path, frozenset[str] | None] = {}
        for tree in self._trees(self._folders):
            above = found.get(tree.root.parent, frozenset())
            found |= {tree.root.parent: None if above is None else above | {tree.root.name}} | dict.fromkeys(
                tree.folders()
            )
        return found

    def _take(self, tasks: tuple[Task, ...], hidden: tuple[Task, ...]) -> tuple[Thing, ...]:
        things = [Thing(kind=Kind.SETTINGS, name=FILE_NAME, digest=one) for one in self._settings.read().values()]
        things += [Thing(kind=Kind.PACKAGE, name=name, digest=one) for name, one in self._package.read().items()]
        found = {task.name: self._task(task.folder) for task in tasks}
        things += [Thing(kind=Kind.TASK, name=name, digest=one) for name, one in found.items() if one]
        out_of_sight = {task.name: self._task(task.folder) for task in hidden}
        if out_of_sight:
            things.append(Thing(kind=Kind.HIDDEN, digest=_digest_of(out_of_sight)))
        return tuple(things)

    def _trees(self, folders: Iterable[Path]) -> Iterator[_Tree]:
        yield from (self._settings, self._package)
        yield from (self._tasks[folder] for folder in folders)

    def _task(self, folder: Path) -> str:
        if folder not in self._tasks:
            self._tasks[folder] = _Tree(folder, _is_ours_or_an_editors)
        tree = self._tasks[folder]
        return tree.digest if tree.read() else ""


class _Tree:
    """A file, or the files below a folder."""

    def __init__(self, root: Path, is_passed_over: Callable[[str], bool]) -> None:
        self.root = root
        self._root = str(root)
        self._is_passed_over = is_passed_over
        self._stats: dict[str, _Stat | None] = {}
        self._digests: dict[str, str] = {}
        self.digest = ""
        """Of all that was read last."""

    def folders(self) -> list[Path]:
        """Return the folders that were read last."""
        return [Path(path) for path in self._stats if self._name(path) not in self._digests]

    def is_untouched(self) -> bool:
        """Tell whether nothing was written to since it was read, as far as the kernel's clock can tell that already."""
        try:
            return bool(self._stats) and all(map(eq, map(_FACTS, map(os.lstat, self._stats)), self._stats.values()))
        except OSError:
            return False

    def read(self) -> Mapping[str, str]:
        """Return each file's digest by its path below the root; empty where nothing is there."""
        if self.is_untouched():
            return self._digests
        before, old = self._stats, self._digests
        young = time.time_ns() - _SETTLED_NS
        stats = dict(self._walk(self._root))
        self._digests = {
            self._name(path): old[self._name(path)] if before.get(path) == found else _hash(path, found)
            for path, found in stats.items()
            if not stat.S_ISDIR(found[0])
        }
        self.digest = _digest_of(self._digests)
        self._stats = {path: found if max(found[-2:]) < young else None for path, found in stats.items()}
        return self._digests

    def _name(self, path: str) -> str:
        return path[len(self._root) + 1 :]

    def _walk(self, path: str) -> Iterator[tuple[str, _Stat]]:
        """Yield files, links and folders; links are not followed."""
        found = _stat(path)
        if found is None:
            return
        yield path, found
        if stat.S_ISDIR(found[0]):
            for inner in _inside(Path(path)):
                if not self._is_passed_over(inner.name):
                    yield from self._walk(str(inner))


def _stat(path: str) -> _Stat | None:
    try:
        return _FACTS(os.lstat(path))
    except OSError:
        return None


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _hash(path: str, found: _Stat) -> str:
    """Hash what a sandbox would get of a file: whether it can be run, and its content or where it leads."""
    digest = hashlib.sha256(f"{stat.S_IFMT(found[0])} {found[0] & stat.S_IXUSR}\0".encode())
    try:
        if stat.S_ISLNK(found[0]):
            digest.update(os.fsencode(Path(path).readlink()))
        elif stat.S_ISREG(found[0]):
            with Path(path).open("rb") as file:
                while chunk := file.read(1024 * 1024):
                    digest.update(chunk)
    except OSError as error:
        return f"unreadable ({error.strerror})"
    return digest.hexdigest()[:_DIGITS]


def _digest_of(digests: Mapping[str, str]) -> str:
    lines = "".join(f"{name}\0{digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()[:_DIGITS]


def _is_ours_or_an_editors(name: str) -> bool:
    return name == canary.FILE or any(fnmatch.fnmatch(name, one) for one in _LEFT_BY_EDITORS)
