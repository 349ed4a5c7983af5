"""End what a killed server's bubblewrap left half started.

Bubblewrap forks into the new namespaces; the child then waits until its parent has written the user namespace's map,
and only after that asks the kernel to die with it. A child whose parent is killed in that moment waits for ever.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

_PROGRAM = b"/bwrap"
_OURS = b"/proc/self/fd/"
"""Where process 1's code is shown; see `root.arguments`."""


def end_orphans() -> int:
    """End them, whichever of this user's servers they come from, and return how many there were; reads /proc."""
    ended = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is not ours
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(_PROGRAM) and any(word.startswith(_OURS) for word in words) and _is_alone(folder):
                os.kill(int(folder.name), signal.SIGKILL)
                ended += 1
    return ended


def _is_alone(folder: Path) -> bool:
    """Tell whether a bubblewrap is the child, process 1 of its namespace, and its parent is gone."""
    lines = (folder / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    is_inside = status["NSpid"].split()[-1] == "1"
    return is_inside and Path("/proc", status["PPid"], "cmdline").read_bytes() != (folder / "cmdline").read_bytes()
