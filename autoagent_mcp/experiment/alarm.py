"""The kernel's word that something was written to in folders that are watched, so that they need not be looked at.

Linux tells of every write that goes through a file's name (inotify(7)). It does not tell of one through another hard
link or a memory mapping made before, nor of another machine's on a network file system. So this may spare a look where
nothing is decided, and never one where something is. Where the kernel gives no such word, the alarm always rings.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

Names = frozenset[str] | None
"""Of what lies in a folder; None: all of it."""


class _Event(NamedTuple):
    wd: int
    mask: int
    cookie: int
    name: str


class _INotify(Protocol):
    """What is used of inotify_simple, which has no types."""

    def add_watch(self, path: os.PathLike[str], mask: int) -> int: ...

    def read(self, timeout: int) -> Iterable[_Event]: ...

    def close(self) -> None: ...


class Alarm:
    """Watches what lies in folders, but not in folders inside them; `close` it in the end."""

    def __init__(self) -> None:
        self._inotify = _open()
        self._watched: dict[Path, Names] = {}
        self._by_number: dict[int, Path] = {}
        self._is_ringing = True

    def watch(self, folders: Mapping[Path, Names]) -> None:
        """Watch these, too, where they are not there yet, for their being made.

        What was written to a folder before it was watched is not told, so the alarm rings once for each new one.
        """
        for folder, names in folders.items():
            place, meant = _nearest(folder, names)
            self._add(place, meant)
            for above in place.parents:  # renamed, it takes all below it along
                self._add(above, frozenset())

    def rings(self) -> bool:
        """Tell whether anything was written to since this was asked last, or may have been."""
        is_ringing, self._is_ringing = self._is_ringing, False
        if self._inotify is None:
            return True
        heard = [self._is_meant(event.wd, event.name) for event in self._inotify.read(timeout=0)]
        return is_ringing or any(heard)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def _add(self, folder: Path, names: Names) -> None:
        known = self._watched.get(folder, frozenset())
        if self._inotify is None or (
            folder in self._watched and (known is None or (names is not None and names <= known))
        ):
            return
        self._is_ringing = True
        self._watched[folder] = None if names is None or known is None else names | known
        try:
            self._by_number[self._inotify.add_watch(folder, _mask(is_for_names=names != frozenset()))] = folder
        except OSError:
            self.close()  # not readable, just gone, or more than a user may have

    def _is_meant(self, number: int, name: str) -> bool:
        """Tell whether an event is about what is watched.

        One without a name is about the folder itself, which may be another one now, or says that there were too many.
        """
        if not name:
            self._watched.clear()
            return True
        names = self._watched.get(self._by_number[number])
        return names is None or name in names


def _open() -> _INotify | None:
    if sys.platform != "linux":
        return None
    with suppress(OSError):  # more than a user may have
        return _library().INotify()
    return None


def _library() -> Any:  # noqa: ANN401 - it has no types
    """Return inotify_simple, which is there on Linux alone."""
    return importlib.import_module("inotify_simple")


def _mask(*, is_for_names: bool) -> int:
    flags = _library().flags
    itself = flags.DELETE_SELF | flags.MOVE_SELF | flags.ONLYDIR | flags.MASK_ADD
    inside = flags.MODIFY | flags.ATTRIB | flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO
    return itself | inside if is_for_names else itself


def _nearest(folder: Path, names: Names) -> tuple[Path, Names]:
    """Return a folder that is there with what to wait for in it."""
    while not folder.is_dir():
        folder, names = folder.parent, frozenset({folder.name})
    return folder, names
