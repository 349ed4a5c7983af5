"""The processes that run agent.py: one that imports it, and one child forked from that for each trial.

Everything here shares its process with code that a model wrote. The host (`host.py`) therefore believes none of it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import resource
import signal
import socket
import traceback
from pathlib import Path
from typing import NoReturn

from autoagent_mcp.harness.inside import kernel, work
from autoagent_mcp.harness.inside.frames import PORT

_TMPFS_OPTIONS = "mode=1777,size=32m,nr_inodes=16k"
_PROCESSES = 256
_DATA_BYTES = 2 << 30
_FILES = 1024
_FLAG_NAMES = {"nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}


def warm(command: socket.socket, output: int, *, imports: bool) -> NoReturn:
    """Import agent.py, then fork a child for each order that comes over `command`; never returns.

    Args:
        command: To the host, SOCK_SEQPACKET. Says at first how the import went.
        output: Where what is printed goes.
        imports: False where each child is to import it by itself.
    """
    work.keep_only(command.fileno(), output)
    try:
        _enter(is_trial=False)
    except OSError as error:
        command.send(json.dumps({"refused": str(error)}).encode())
        os._exit(1)
    # The host is started without looking at PYTHONPATH (-I), so that no library can get into it.
    work.prepare(PORT, os.environ.get("PYTHONPATH", "").split(":"))
    os.environ.update(HOME="/tmp", USER="agent")
    os.chdir(work.WORKSPACE)
    command.send(json.dumps(work.try_import() if imports else {}).encode())
    gc.collect()
    gc.freeze()
    _serve(command)


def _serve(command: socket.socket) -> NoReturn:
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        message, files, _, _ = socket.recv_fds(command, 16, 2)
        if not message:
            os._exit(0)
        channel, output = files
        answer = _fork(channel, output)
        os.close(channel)
        os.close(output)
        command.send(answer)


def _reap(*_: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _fork(channel: int, output: int) -> bytes:
    try:
        pid = os.fork()
    except OSError as error:
        return str(error).encode()
    if pid == 0:
        _trial(channel, output)
    with contextlib.suppress(ChildProcessError):  # reaped by the handler
        os.waitpid(pid, 0)
    return b"forked"


def _trial(channel: int, output: int) -> NoReturn:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        work.keep_only(channel, output)
        host = socket.socket(fileno=channel)
        _enter(is_trial=True)
        host.send(b"R")
        order = work.receive(host)
        kernel.be_undumpable()
        pid = os.fork()
        if pid:
            _wait_for(pid, host)
        work.run(order, host, PORT)
    except BaseException:  # noqa: BLE001 - nothing may fall through into the loop of the process that forked
        traceback.print_exc()
    finally:
        os._exit(1)


def _wait_for(agent: int, host: socket.socket) -> NoReturn:
    """Be the init of the trial's processes, until the one that runs agent.py ends."""
    while True:
        pid, status = os.wait()
        if pid == agent:
            code = os.waitstatus_to_exitcode(status)
            host.send(json.dumps({"exit": code}).encode() + b"\n")
            os._exit(0)


def _enter(*, is_trial: bool) -> None:
    """Enter namespaces of its own; returns in the first process of the new pid namespace, without any rights."""
    os.setsid()
    kernel.enter_namespaces(kernel.NEW_PID | kernel.NEW_MOUNTS | kernel.NEW_NET | kernel.NEW_IPC)
    if os.fork():
        os._exit(0)
    os.setsid()
    Path("/proc/self/oom_score_adj").write_text("1000" if is_trial else "900", encoding="ascii")
    _make_read_only()
    for folder in ("/tmp", "/dev/shm"):
        kernel.mount("tmpfs", folder, "tmpfs", kernel.NO_SUID | kernel.NO_DEV, _TMPFS_OPTIONS)
    if is_trial:
        kernel.forbid_user_namespaces()
        flags = kernel.READ_ONLY | kernel.NO_SUID | kernel.NO_DEV | kernel.NO_EXEC
        kernel.mount("tmpfs", "/proc", "tmpfs", flags, "size=4k,mode=555")
    kernel.drop_all_capabilities()
    _set_limits(is_trial=is_trial)


def _make_read_only() -> None:
    kernel.mount("none", "/", None, kernel.RECURSIVE | kernel.PRIVATE)
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields = line.split(" ")
        point = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), fields[4])
        if point.startswith("/proc"):
            continue
        kept = sum(flag for name, flag in _FLAG_NAMES.items() if name in fields[5].split(","))
        try:
            kernel.mount("none", point, None, kernel.REMOUNT | kernel.BIND | kernel.READ_ONLY | kept)
        except OSError:
            continue  # hidden below another mount; the host looks at what is left to write to


def _set_limits(*, is_trial: bool) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    resource.setrlimit(resource.RLIMIT_DATA, (_DATA_BYTES, _DATA_BYTES))
    # Counted per user namespace since Linux 5.14, so one trial's forks do not use up its siblings' share. What imports
    # agent.py has the same limit, and `_serve` the sandbox's again, as its children count for it too.
    hard = _PROCESSES if is_trial else resource.getrlimit(resource.RLIMIT_NPROC)[1]
    resource.setrlimit(resource.RLIMIT_NPROC, (_PROCESSES, hard))
