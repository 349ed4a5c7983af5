"""The process between process 1 and one command: starts it, keeps its output, ends it with all that it started.

It is the reaper of all of its command's descendants, also of those that fork twice and call setsid, so to end a command
is to kill what is below the keeper until there is nothing. What a command leaves running when it ends by itself falls
to process 1 and lives on.
"""

from __future__ import annotations

import errno
import os
import select
import time
from resource import RLIMIT_NOFILE, RLIMIT_NPROC, getrlimit, setrlimit

from autoagent_mcp.sandbox.bubblewrap.inside import frames, kernel, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from socket import socket
    from typing import Any
else:
    import _signal as signal

_FILES = 1024
"""The usual soft limit, not the server's raised one: some programs walk through all numbers below it."""
_CANNOT_ENTER, _CANNOT_START = 126, 127
_IGNORED = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT]
_CLEAN: dict[str, Any] = {"setsid": True, "setsigdef": _IGNORED}
"""A session of its own, without the signals that Python ignores, or nohup and a shell's `&` have a server ignore."""
_DRAIN_BYTES = 1 << 20
"""The most that is read of a pipe after the command ended: the largest pipe that an ordinary user can have."""


class Capture:
    """The first and the last half of `limit` bytes of what is read."""

    def __init__(self, descriptor: int, limit: int) -> None:
        self.descriptor = descriptor
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._gone = 0

    def read(self) -> int:
        """Read what is there; return how much that was."""
        try:
            data = os.read(self.descriptor, frames.CHUNK_BYTES)
        except BlockingIOError:
            return 0
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._half:
            self._cut()
        return len(data)

    def drain(self) -> None:
        """Read what the command had written by its end; what it left running may go on writing for ever."""
        left = _DRAIN_BYTES
        while left > 0 and (size := self.read()):
            left -= size

    def text(self) -> bytes:
        """Return what was kept."""
        self._cut()
        note = f"\n[... {self._gone} bytes are left out here ...]\n".encode() if self._gone else b""
        return bytes(self._head) + note + bytes(self._tail)

    def _cut(self) -> None:
        over = len(self._tail) - self._half
        if over > 0:
            self._gone += over
            del self._tail[:over]


class Command:
    """A running command, from the keeper's side.

    Args:
        channel: Its end means that nobody waits any more.
        fields: The rest of the request: cwd, number of variables, variables, arguments.
        stdio: What the command gets as stdin, stdout and stderr.
        processes: How many processes the sandbox may have.
    """

    def __init__(self, channel: socket, fields: Iterator[bytes], stdio: tuple[int, int, int], processes: int) -> None:
        kernel.become_subreaper()
        self._channel = channel
        self._wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self._pid, self.status = _start(fields, stdio, processes)
        for descriptor in stdio:
            os.close(descriptor)

    def wait(self, timeout_sec: float, captures: tuple[Capture, ...]) -> bool:
        """Wait for its end, or bring it about; return whether that was because the time was up."""
        end = time.monotonic() + timeout_sec
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        readers = {capture.descriptor: capture for capture in captures}
        for descriptor in readers:
            poll.register(descriptor, select.POLLIN)
        while self.status is None:
            left = end - time.monotonic()
            if left <= 0:
                self._end()
                return True
            for descriptor, _events in poll.poll(None if left == float("inf") else left * 1000 + 1):
                if descriptor == self._channel.fileno():
                    self._end()
                elif descriptor == self._wake:
                    os.read(self._wake, 512)
                    self._note(tree.reap())
                elif not readers[descriptor].read():
                    poll.unregister(descriptor)
        return False

    def _end(self) -> None:
        self._note(tree.kill_descendants())

    def _note(self, ended: dict[int, int]) -> None:
        if self._pid in ended:
            status = ended[self._pid]
            self.status = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _start(fields: Iterator[bytes], stdio: tuple[int, int, int], processes: int) -> tuple[int, int | None]:
    """Start a command in a session of its own; return its process id, or 0 and the status of one that cannot start."""
    kernel.ask_for_turns_of(0)
    setrlimit(RLIMIT_NPROC, (processes, processes))
    files = getrlimit(RLIMIT_NOFILE)[1]
    setrlimit(RLIMIT_NOFILE, (min(_FILES, files), files))
    status = _CANNOT_ENTER
    try:
        os.chdir(next(fields))
        env = dict(next(fields).split(b"=", 1) for _ in range(int(next(fields))))
        status = _CANNOT_START
        return _spawn(list(fields), env, stdio), None
    except OSError as error:
        os.write(stdio[2], f"{error.strerror}: {os.fsdecode(error.filename or '')}\n".encode())
        return 0, status


def _spawn(argv: list[bytes], env: dict[bytes, bytes], stdio: tuple[int, int, int]) -> int:
    """Start a program; vfork, as posix_spawn does, spares the copy of this process that a fork makes."""
    actions = [(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in enumerate(stdio)]
    folders = [b""] if b"/" in argv[0] else env.get(b"PATH", b"").split(b":")
    failure = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
    for folder in folders:
        try:
            return os.posix_spawn(os.path.join(folder, argv[0]), argv, env, file_actions=actions, **_CLEAN)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            failure = error
    raise failure
