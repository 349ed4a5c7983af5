"""Processes below this one: a client and all that it started, also what put itself into a session of its own.

On Linux this process takes in its descendants' orphans, so that all are found below it; elsewhere the client's process
group has to do.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

from autoagent_mcp.sandbox.bubblewrap.inside import kernel, tree


def adopt_orphans() -> None:
    """Let what a client leaves behind become a child of this process, instead of process 1's."""
    if sys.platform == "linux":
        kernel.become_subreaper()


def send(group: int, number: signal.Signals) -> None:
    """Send a signal to a client, which leads the process group, and to all that it started."""
    if sys.platform != "linux":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
    for pid in _below():
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def is_any(group: int) -> bool:
    """Say whether a client that has ended left anybody; the orphans that ended since are buried."""
    if sys.platform != "linux":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, 0)
            return True
        return False
    for pid in _below():
        with suppress(ChildProcessError):  # another's child
            os.waitpid(pid, os.WNOHANG)
    return bool(_below())


def _below() -> list[int]:
    """Return all descendants of this process; none where there is no /proc to ask."""
    if sys.platform != "linux":
        return []
    parents = tree.processes()
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return sorted(below - {os.getpid()})
