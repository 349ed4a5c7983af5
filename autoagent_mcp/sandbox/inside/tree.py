"""Who runs in here, and ending them."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

_STUBBORN_AFTER_SEC = 0.5
_PAUSE_SEC = 0.002


def processes() -> dict[int, tuple[int, int]]:
    """Return every process that can be seen: its id, its parent's and its group's."""
    found: dict[int, tuple[int, int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                    fields = file.read(1024).rpartition(b")")[2].split()
            except OSError:  # ended meanwhile
                continue
            found[int(name)] = (int(fields[1]), int(fields[2]))
    return found


def reap() -> dict[int, int]:
    """Take the status of every child that has ended, by its id.

    Raises:
        ChildProcessError: There is no child left, ended or not.
    """
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            if ended:
                return ended
            raise
        if pid == 0:
            return ended
        ended[pid] = status


def kill_descendants() -> dict[int, int]:
    """Kill everything below this process, a subreaper, until nothing is left; return the children's statuses.

    A descendant's process group holds only descendants, as every command has a session of its own, and the kernel kills
    a group at once: what forks quickly does not get away. What still does (a new group for every fork) goes down with
    everything in the sandbox but process 1.
    """
    ended: dict[int, int] = {}
    stubborn_at = time.monotonic() + _STUBBORN_AFTER_SEC
    while True:
        try:
            ended |= reap()
        except ChildProcessError:
            return ended
        if time.monotonic() > stubborn_at:
            kill(-1)
        for pid, group in _below(os.getpid()):
            kill(pid)
            if group not in {0, os.getpgrp()}:
                kill(-group)
        time.sleep(_PAUSE_SEC)


def _below(root: int) -> list[tuple[int, int]]:
    found = processes()
    children: dict[int, list[int]] = {}
    for pid, (parent, _group) in found.items():
        children.setdefault(parent, []).append(pid)
    below: list[tuple[int, int]] = []
    ahead = list(children.get(root, ()))
    while ahead:
        pid = ahead.pop()
        below.append((pid, found[pid][1]))
        ahead += children.get(pid, ())
    return below


def kill(pid: int) -> None:
    """SIGKILL a process, a group (negative), or all but process 1 and the caller (-1)."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
