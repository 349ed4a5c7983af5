"""Starts servers, kills each at a moment that the file system shows, and sees that nothing of it is left.

`python killer.py SOCKET` takes orders, one at a time: JSON written by `support.lives.doomed`, with the descriptors that
are to be the server's stdin, stdout and stderr. A process of its own: it sees at once when git or the server makes a
file (inotify(7)), and it inherits whatever the server leaves behind (PR_SET_CHILD_SUBREAPER in prctl(2)). It has
imported the server once and forks it, since fifty imports would take a minute.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import re
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from autoagent_mcp.cli import main

_PR_SET_CHILD_SUBREAPER = 36
_CREATED, _MODIFIED, _MOVED_TO, _IS_FOLDER = 0x100, 0x2, 0x80, 0x40000000
_EVENT = struct.Struct("iIII")
_PATIENCE_SEC = 20.0
_END_SEC = 5.0
_PASSED_OVER = re.compile(r"\.git/(objects/..|logs|hooks|info)$|\.autoagent/runs/[^/]+/[^/]+/.+")
"""Folders in which no moment is looked for."""

libc = ctypes.CDLL(None, use_errno=True)


class Watcher:
    """What happens below some folders, by paths relative to the workspace."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._places: dict[int, Path] = {}
        self.descriptor = libc.inotify_init1(os.O_NONBLOCK)
        for name in (".git", ".autoagent"):
            if (top / name).is_dir():
                self._add(top / name)

    def events(self) -> Iterator[str]:
        """Yield what was made, written to or renamed since this was asked last."""
        try:
            data = os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return
        while data:
            watch, mask, _cookie, length = _EVENT.unpack_from(data)
            name = data[_EVENT.size : _EVENT.size + length].rstrip(b"\0").decode()
            data = data[_EVENT.size + length :]
            path = self._places[watch] / name
            yield str(path.relative_to(self._top))
            if mask & _IS_FOLDER and mask & _CREATED:
                self._add(path)

    def _add(self, folder: Path) -> None:
        if _PASSED_OVER.search(str(folder.relative_to(self._top))):
            return
        mask = _CREATED | _MODIFIED | _MOVED_TO
        watch = libc.inotify_add_watch(self.descriptor, os.fsencode(folder), mask)
        if watch < 0:
            return  # it is gone again
        self._places[watch] = folder
        for path in folder.iterdir():
            if path.is_dir():
                self._add(path)


def descendants(pid: int) -> list[int]:
    """Return the processes that come from one, parents first."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")
        except OSError:
            continue
        children.setdefault(int(rest.split()[1]), []).append(int(name.split(" ")[0]))
    found = [pid]
    for one in found:
        found += children.get(one, ())
    return found[1:]


def wait_for_moment(order: dict[str, object], end: int) -> str:
    """Wait for the moment, or the server's own end; return the path that showed it, "late" where none came."""
    watcher = Watcher(Path(str(order["workspace"])))
    try:
        return _waited(watcher, order, end)
    finally:
        os.close(watcher.descriptor)


def _waited(watcher: Watcher, order: dict[str, object], end: int) -> str:
    wanted = re.compile(str(order["pattern"]))
    left, patience, deadline = int(str(order["skip"])), None, 0.0
    while patience is None or patience > 0:
        ready, _, _ = select.select([watcher.descriptor, end], [], [], patience)
        for path in watcher.events():
            left -= bool(wanted.search(path))
            if left < 0:
                time.sleep(float(str(order["delay_sec"])))
                return path
        if end in ready:
            return ""
        if patience is None:  # the first event: the server has come to life
            deadline = time.monotonic() + float(str(order["at_most_sec"]))
        patience = deadline - time.monotonic()
    return "late"


def kill(order: dict[str, object], server: int) -> None:
    """Kill the server alone, or with all that comes from it."""
    number = int(str(order["signal"]))
    for pid in [server, *(descendants(server) if order["whole_tree"] else [])]:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def bury() -> list[int]:
    """Wait a while until all that came from the server has ended, and return what has not."""
    deadline = time.monotonic() + _END_SEC
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return []
        if pid == 0:
            time.sleep(0.01)
    return descendants(os.getpid())


def serve(workspace: str, descriptors: list[int]) -> NoReturn:
    """Be a server, in a process that was just forked."""
    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.closerange(3, 1024)
    sys.argv = ["autoagent-mcp", "--workspace", workspace]
    try:
        main()
    finally:
        os._exit(1)


def obey(order: dict[str, object], descriptors: list[int]) -> None:
    """Start a server with these for stdin, stdout and stderr, do as ordered, and report."""
    pid = os.fork()
    if pid == 0:
        serve(str(order["workspace"]), descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    end = os.pidfd_open(pid)
    found = wait_for_moment(order, end)
    if found:
        kill(order, pid)
    select.select([end], [], [], _PATIENCE_SEC)
    os.close(end)
    report = Path(str(order["report"]))
    beside = report.with_suffix(".part")
    beside.write_text(json.dumps({"moment": found, "left": bury()}), encoding="utf-8")
    beside.replace(report)


def take_orders(path: str) -> None:
    """Serve one order after another, for ever."""
    for name in ("autoagent_mcp.experiment.lab", "autoagent_mcp.server"):
        importlib.import_module(name)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection:
                data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 3)
                obey(json.loads(data), descriptors)


if __name__ == "__main__":
    take_orders(sys.argv[1])
