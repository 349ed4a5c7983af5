"""Process 1 of a sandbox: forks a keeper for every request, ends what must end, and watches the memory.

It never waits for a command, so commands never wait for each other. Signals from inside do not reach it, as it is
process 1 of its pid namespace and handles none but SIGCHLD; and as it is not dumpable, and holds a capability that
commands lack, none of them can trace it or open its files.

Commands can kill or stop their keeper, which has the same uid. Process 1 then kills all of them and answers in the
keeper's place.
"""

from __future__ import annotations

import mmap
import os
import select
import struct
import sys
import time
from resource import RLIMIT_CORE, setrlimit

from autoagent_mcp.sandbox.bubblewrap.inside import frames, keeper, kernel, memory, prepare, tarball, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from socket import MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET, socket
else:
    import _signal as signal
    from _socket import MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET, socket

_GRACE_SEC = 1.0
_FIRST_LOOK_SEC = 0.02
"""After a request, at the memory: many commands have ended by then."""
_FAILED_KEEPER = 1
"""What has not ended its command: process 1 does."""
_TURN_NANOSECONDS = 100_000
_TASK_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 10)
"""Docker's default ones, as far as they mean something where there is one uid: chown, dac_override, fowner, fsetid,
kill, setgid, setuid, net_bind_service."""

_HARNESS_CAPABILITIES = (31,)
"""setfcap: without it uid 0 cannot be mapped into a further user namespace (user_namespaces(7)), which trials need."""


def main() -> None:
    """Prepare the root, give up what is not needed any more, and serve until the server is gone."""
    role, workdir, python = sys.argv[1:4]
    memory_mb, processes, output_limit = (int(word) for word in sys.argv[4:])
    os.closerange(3, 64)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
        file.write(b"1000")  # should the machine run out of memory: rather a sandbox than the server
    setrlimit(RLIMIT_CORE, (0, 0))
    prepare.prepare(role, workdir, python)
    allowed = _TASK_CAPABILITIES if role == "task" else _HARNESS_CAPABILITIES
    kernel.keep_capabilities((*allowed, kernel.CAP_SYS_PTRACE), for_programs=allowed)
    kernel.ask_for_turns_of(_TURN_NANOSECONDS)
    kernel.become_undumpable()
    Supervisor(memory_mb * 1024 * 1024, processes, output_limit).serve()


class Keeper:
    """What process 1 knows of a keeper; `outputs` are the reading ends of its command's stdout and stderr."""

    __slots__ = ("channel", "due", "outputs")

    def __init__(self, channel: socket, due: float, outputs: tuple[int, ...]) -> None:
        self.channel = channel
        self.due = due
        self.outputs = outputs


class Supervisor:
    """Process 1's loop."""

    def __init__(self, memory_bytes: int, processes: int, output_limit: int) -> None:
        self._memory_bytes = memory_bytes
        self._processes = processes
        self._output_limit = output_limit
        self._control = socket(fileno=0)
        self._keepers: dict[int, Keeper] = {}
        self._leftover: set[int] = set()
        """Pipes that commands left behind: what they left running may write there, and must not break or block."""
        self._memory_kills = mmap.mmap(-1, mmap.PAGESIZE)
        """The first byte counts; keepers see it."""
        self._look_at = float("inf")
        self._has_command = False
        """In a keeper: whether its command runs."""
        self._poll = select.poll()

    def serve(self) -> None:
        """Serve until the server closes the control socket; the kernel then kills whatever still runs."""
        wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake_up)
        self._poll.register(0, select.POLLIN)
        self._poll.register(wake, select.POLLIN)
        self._control.sendall(b"ready")
        while True:
            ready = [descriptor for descriptor, _events in self._poll.poll(self._patience_ms())]
            for descriptor in ready:
                if descriptor == wake:
                    os.read(wake, 4096)
                elif descriptor in self._leftover:
                    self._read_leftover(descriptor)
                elif descriptor != 0:
                    self._hung_up(descriptor)
            if 0 in ready:
                self._accept()  # last, as it may close what is in `ready`
            self._reap()
            self._end_overdue()
            self._watch_memory()

    def _patience_ms(self) -> float | None:
        dues = [self._look_at, *(each.due for each in self._keepers.values())]
        return min(max(min(dues) - time.monotonic(), 0) * 1000 + 1, 3_600_000) if min(dues) < float("inf") else None

    def _accept(self) -> None:
        message, ancillary, _flags, _address = self._control.recvmsg(frames.CONTROL.size, 256, MSG_CMSG_CLOEXEC)
        if len(message) < frames.CONTROL.size:
            os._exit(0)
        kind, seconds = frames.CONTROL.unpack(message)
        descriptors = [
            descriptor
            for level, type_, data in ancillary
            if (level, type_) == (SOL_SOCKET, SCM_RIGHTS)
            for descriptor in struct.unpack(f"{len(data) // 4}i", data)
        ]
        channel = socket(fileno=descriptors[0])
        if kind == frames.KILL_ALL:
            self._kill_all(b"was killed with all others")
            _answer(channel, frames.DONE, b"")
        else:
            self._look_at = min(self._look_at, time.monotonic() + _FIRST_LOOK_SEC)
            try:
                self._fork_keeper(kind, seconds, channel, descriptors[1:])
            except OSError as error:  # the machine's own limits
                _answer(channel, frames.FAILED, str(error).encode())

    def _fork_keeper(self, kind: bytes, seconds: float, channel: socket, stdio: list[int]) -> None:
        outputs: tuple[int, ...] = ()
        if kind == frames.EXEC:
            (out, out_end), (err, err_end) = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
            os.set_blocking(out, False)
            os.set_blocking(err, False)
            outputs = (out, err)
            stdio = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), out_end, err_end]
        pid = os.fork()
        if pid == 0:
            self._keep(kind, seconds, channel, stdio, outputs)
        for descriptor in stdio:
            os.close(descriptor)
        self._keepers[pid] = Keeper(channel, time.monotonic() + seconds + _GRACE_SEC, outputs)
        self._poll.register(channel.fileno(), 0)

    def _keep(self, kind: bytes, seconds: float, channel: socket, stdio: list[int], outputs: tuple[int, ...]) -> None:
        """Be the keeper. One that fails while its command runs says nothing: process 1 ends that and answers."""
        try:
            for each in self._keepers.values():
                each.channel.close()
            fields = frames.read_request(channel)
            if kind == frames.PUT:
                tarball.extract(lambda size: frames.read_exactly(channel, size), os.fsdecode(next(fields)))
                frames.send_frame(channel, frames.DONE, b"")
            elif kind == frames.GET:
                _get(channel, os.fsdecode(next(fields)))
            else:
                self._run(seconds, channel, fields, stdio, outputs)
        except (OSError, EOFError, ValueError) as error:
            if not self._has_command:
                _answer(channel, frames.FAILED, str(error).encode(errors="replace"))
        finally:
            os._exit(_FAILED_KEEPER if self._has_command else 0)

    def _run(
        self, seconds: float, channel: socket, fields: Iterator[bytes], stdio: list[int], outputs: tuple[int, ...]
    ) -> None:
        kills = self._memory_kills[0]
        captures = tuple(keeper.Capture(each, self._output_limit) for each in outputs)
        self._has_command = True
        command = keeper.Command(channel, fields, (stdio[0], stdio[1], stdio[2]), self._processes)
        timed_out = command.wait(seconds, captures)
        for capture in captures:
            capture.drain()
        self._has_command = False
        for capture, answer in zip(captures, (frames.STDOUT, frames.STDERR)):
            frames.send_frame(channel, answer, capture.text())
        out_of_memory = self._memory_kills[0] != kills
        frames.send_frame(channel, frames.DONE, b"%d %d %d" % (command.status or 0, timed_out, out_of_memory))

    def _hung_up(self, descriptor: int) -> None:
        """The server waits no longer: the keeper sees it too, and has a moment to end its command."""
        self._poll.unregister(descriptor)
        for each in self._keepers.values():
            if each.channel.fileno() == descriptor:
                each.due = min(each.due, time.monotonic() + _GRACE_SEC)

    def _reap(self) -> None:
        try:
            ended = tree.reap()
        except ChildProcessError:
            self._look_at = float("inf")
            return
        if any(status != 0 and pid in self._keepers for pid, status in ended.items()):
            self._kill_all(b"was killed, as a command had killed the process that keeps another")
        for pid in ended:
            self._forget(pid, b"was killed by a command")

    def _forget(self, pid: int, reason: bytes) -> None:
        each = self._keepers.pop(pid, None)
        if each is None:
            return
        try:
            self._poll.unregister(each.channel.fileno())
        except KeyError:  # hung up
            pass
        _answer(each.channel, frames.LOST, reason)
        for descriptor in each.outputs:
            self._leftover.add(descriptor)
            self._poll.register(descriptor, select.POLLIN)

    def _read_leftover(self, descriptor: int) -> None:
        try:
            if os.read(descriptor, frames.CHUNK_BYTES):
                return
        except BlockingIOError:
            return
        self._leftover.discard(descriptor)
        self._poll.unregister(descriptor)
        os.close(descriptor)

    def _end_overdue(self) -> None:
        if any(each.due < time.monotonic() for each in self._keepers.values()):
            self._kill_all(b"was killed, as a command had stopped the process that keeps another")

    def _kill_all(self, reason: bytes) -> None:
        """Kill everything but process 1, see it gone, and only then tell whoever waits for it."""
        ended: dict[int, int] = {}
        while True:
            tree.signal_all(signal.SIGKILL)
            try:
                ended |= tree.reap()
            except ChildProcessError:
                break
            time.sleep(0.001)
        for pid in ended:
            self._forget(pid, reason)

    def _watch_memory(self) -> None:
        if time.monotonic() < self._look_at:
            return
        pids = [pid for pid in tree.processes() if pid != 1]
        headroom = self._memory_bytes - memory.used_bytes(pids, self._memory_bytes)
        if headroom < 0:
            self._memory_kills[0] = (self._memory_kills[0] + 1) % 256
            self._kill_commands()
        self._look_at = time.monotonic() + memory.pause_sec(headroom)

    def _kill_commands(self) -> None:
        """Kill what commands started; their keepers stay and tell the server."""
        tree.signal_all(signal.SIGSTOP)
        for pid in tree.processes():
            if pid != 1 and pid not in self._keepers:
                tree.kill(pid)
        tree.signal_all(signal.SIGCONT)


def _get(channel: socket, source: str) -> None:
    if os.path.lexists(source):
        tarball.create(source, lambda data: frames.send_frame(channel, frames.DATA, data) if data else None)
        frames.send_frame(channel, frames.DONE, b"1")
    else:
        frames.send_frame(channel, frames.DONE, b"0")


def _answer(channel: socket, kind: bytes, text: bytes) -> None:
    """Send a last frame, to whoever still listens, and close."""
    channel.setblocking(False)  # noqa: FBT003 - the stdlib's
    try:
        frames.send_frame(channel, kind, text)
    except OSError:
        pass
    channel.close()


def _wake_up(_number: int, _frame: object) -> None:
    """Do nothing: the byte in the wake-up pipe is what ends the poll."""
