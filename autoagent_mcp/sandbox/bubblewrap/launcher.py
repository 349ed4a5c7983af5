"""Starts bubblewrap, from a thread that lives as long as the server.

`--die-with-parent` watches the thread that forked, not the process (PR_SET_PDEATHSIG in prctl(2)): a sandbox started
from a worker thread would die with that thread.

A server that runs as root starts its sandboxes as uids of their own: limits on processes do not hold for uid 0
(RLIMIT_NPROC in setrlimit(2)). Such a uid cannot walk through root's own folders, where interpreter and cache may lie.
So this thread then has a mount namespace of its own, in which what a sandbox is shown is bound to a place that everyone
reaches. Nothing of it is seen outside, and it vanishes with the thread.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import queue
import resource
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import NamedTuple

_CLONE_NEWNS = 0x20000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_NOSUID = 0x1000, 0x4000, 0x40000, 0x2
_REACHABLE = Path("/sys")
"""Hidden below our own folder in the thread's namespace: nothing that a sandbox is shown lies there."""
_UIDS = range(1_879_100_000, 1_879_200_000)
"""Above the ranges that systemd (https://systemd.io/UIDS-GIDS/) and useradd hand out."""


class Start(NamedTuple):
    """A process to start: `program` below `folder`, both of which it must reach, as every path among `arguments`."""

    folder: Path
    program: str
    arguments: list[str | Path]
    stdin: int
    descriptors: tuple[int, ...]


class Launcher(threading.Thread):
    """The thread. It ends with the server."""

    def __init__(self) -> None:
        super().__init__(name="sandbox-launcher", daemon=True)
        self._queue: queue.SimpleQueue[tuple[Start, Future[subprocess.Popen[bytes]]]] = queue.SimpleQueue()
        self._uids = _other_uids()
        self._can_show: bool | None = None
        self._places: dict[Path, str] = {}

    def launch(self, start: Start) -> subprocess.Popen[bytes]:
        """Start a process; blocks for some milliseconds.

        Raises:
            OSError: It could not be started.
        """
        future: Future[subprocess.Popen[bytes]] = Future()
        self._queue.put((start, future))
        return future.result()

    def run(self) -> None:
        """Serve; what goes wrong is the caller's to hear."""
        while True:
            start, future = self._queue.get()
            try:
                future.set_result(self._launch(start))
            except BaseException as error:  # noqa: BLE001 - carried to the caller
                future.set_exception(error)

    def _launch(self, start: Start) -> subprocess.Popen[bytes]:
        if self._can_show is None:
            self._can_show = self._uids is not None and _hide_a_place()
        program = f"{self._show(start.folder)}/{start.program}"
        arguments = [self._show(each) if isinstance(each, Path) else each for each in start.arguments]
        uid = next(self._uids) if self._uids else None
        return subprocess.Popen(
            [program, *arguments],
            stdin=start.stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=start.descriptors,
            env={},
            cwd="/",
            user=uid,
            group=uid,
            extra_groups=None if uid is None else (),
        )

    def _show(self, path: Path) -> str:
        """Return where a process of another uid finds `path`."""
        if not self._can_show:
            return str(path)
        if path not in self._places:
            place = _REACHABLE / str(len(self._places))
            if path.is_dir():
                place.mkdir()
            else:
                place.touch()
            _mount(str(path), str(place), "", _MS_BIND | _MS_REC)
            self._places[path] = str(place)
        return self._places[path]


@cache
def launcher() -> Launcher:
    """Return the one thread of this process.

    Hundreds of sandboxes need more files than the 1024 that a process may have open by default.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    thread = Launcher()
    thread.start()
    return thread


def _other_uids() -> Iterator[int] | None:
    """Return uids to start sandboxes as; None where this process may be none but its own."""
    if os.geteuid() != 0:
        return None
    for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines():
        first, _outside, count = (int(word) for word in line.split())
        if first <= _UIDS[0] and first + count > _UIDS[-1]:
            return itertools.cycle(_UIDS)
        if count > 1:  # root of a container: the upper half of what it was given
            return itertools.cycle(range(first + count // 2, first + count - 1))
    return None


def _hide_a_place() -> bool:
    """Enter a mount namespace with a place of our own; return whether that is allowed: in a container it is not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        return False
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", str(_REACHABLE), "tmpfs", _MS_NOSUID, "mode=755")
    return True


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = (source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    if libc.mount(*words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount on {target}: {os.strerror(number)}")
