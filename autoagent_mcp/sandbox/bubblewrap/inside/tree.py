"""Who runs in here, and ending them."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

_MANY = 100
"""More entries than /proc has by itself, about 60, and what commands commonly start."""
_PAUSE_SEC = 0.002


def processes() -> dict[int, int]:
    """Return every process that can be seen: its id and its parent's."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                    found[int(name)] = int(file.read(1024).rpartition(b")")[2].split()[1])
            except (OSError, IndexError):  # ended meanwhile
                continue
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

    Where the first pass does not end them, or there are many, everything is stopped first: what is stopped does not
    fork, and leaves this process the time to look (each session has the same share of the processors).
    """
    ended: dict[int, int] = {}
    is_frozen = False
    freezes = len(os.listdir("/proc")) > _MANY
    try:
        while True:
            try:
                ended |= reap()
            except ChildProcessError:
                return ended
            if freezes:
                signal_all(signal.SIGSTOP)
                is_frozen = True
            for pid in _below(os.getpid()):
                kill(pid)
            freezes = True
            time.sleep(_PAUSE_SEC)
    finally:
        if is_frozen:
            signal_all(signal.SIGCONT)


def _below(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in processes().items():
        children.setdefault(parent, []).append(pid)
    below: list[int] = []
    ahead = list(children.get(root, ()))
    while ahead:
        pid = ahead.pop()
        below.append(pid)
        ahead += children.get(pid, ())
    return below


def kill(pid: int) -> None:
    """SIGKILL a process that may have ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def signal_all(number: int) -> None:
    """Send a signal to all but process 1 and the caller, at once: nothing forks meanwhile (kill(2), pid -1)."""
    try:
        os.kill(-1, number)
    except ProcessLookupError:
        pass
