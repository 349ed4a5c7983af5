"""A trial, as the host sees it: a child that is forked, looked at, let in, listened to and killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
from collections.abc import Callable
from typing import Protocol

from autoagent_mcp.harness.inside import inspection, kernel
from autoagent_mcp.harness.inside.frames import CHUNK_BYTES, ENDED, LOG, PORT, STARTED
from autoagent_mcp.harness.inside.streams import READ, WRITE, Carrier, Door, Log

WORDS_LIMIT_BYTES = 64 * 1024
_TOO_EARLY = "its process ended before it began"
_CREDENTIALS = struct.Struct("3i")


class Office(Carrier, Protocol):
    """What a trial needs of the host."""

    own_net: int
    """The host's own network namespace."""

    def watch_always(self, fd: int, callback: Callable[[int], None]) -> None:
        """Call back when there is something to read, however far the server is behind."""
        ...

    def unwatch_always(self, fd: int) -> None:
        """Do so no more."""
        ...

    def examine(self, trial: Trial) -> None:
        """See that a child is alone.

        Raises:
            Distrust: It is not.
        """
        ...

    def on_launched(self, trial: Trial) -> None:
        """Go on with the next one."""
        ...

    def on_ended(self, trial: Trial) -> None:
        """Forget a trial."""
        ...


class Trial:
    """A child and everything that is kept for it."""

    def __init__(self, number: int, order: bytes, office: Office) -> None:
        self.number = number
        self.pid = -1
        """Of the first process of its pid namespace, in the host's count; -1 until it is known."""
        self.spaces: set[str] = set()
        """Its namespaces."""
        self.end: tuple[str, str] | None = None
        """How it ended, and a detail."""
        self.door: Door | None = None
        """To the gateway, once it has its trial."""
        self._order = order + b"\n"
        self._office = office
        self._pidfd = -1
        self._held_spaces: dict[str, int] = {}
        self._is_forked = self._is_mute = False
        self._words = b""
        self._open()

    def _open(self) -> None:
        self._channel, self._child_end = socket.socketpair()
        self._channel.setblocking(False)
        # The kernel then says who sends.
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        output, self._child_output = os.pipe()
        self._log = Log(output)
        self.own_files = own_files(output, self._child_end)

    # --- forked, looked at, let in ---

    def launch(self, command: socket.socket) -> None:
        """Have it forked."""
        socket.send_fds(command, [b"fork"], [self._child_end.fileno(), self._child_output])
        self._drop_child_ends()
        self._office.watch(self._channel.fileno(), 0, READ, self._on_channel)
        self._office.watch(self._log.fd, 0, READ, self._on_log)

    def on_forked(self, answer: bytes) -> None:
        """Take what the process that forks says."""
        self._is_forked = True
        if answer != b"forked":
            self.finish("crashed", f"no process could be started: {answer[:200].decode(errors='replace')}")
        elif self._is_mute:
            self.finish("crashed", _TOO_EARLY)
        elif self.pid != -1:
            self._admit()

    def _admit(self) -> None:
        """Let it have its trial, if it is as alone as it must be."""
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            self.finish("crashed", _TOO_EARLY)
            return
        self._office.watch_always(self._pidfd, self._on_dead)
        try:
            self._held_spaces = inspection.hold_spaces(self.pid)
            self._office.examine(self)
            listener = kernel.listen_in(self._held_spaces["net"], self._office.own_net, PORT)
        except OSError as error:
            self.kill("crashed", f"its process could not be looked at: {error}")
        except inspection.Distrust as error:
            self.kill("crashed", str(error))
        else:
            self.door = Door(self._office, self.number, listener)
            self._office.watch(self._channel.fileno(), READ, READ | WRITE, self._on_channel)
            self._office.send(STARTED, self.number, 0, b"")
        if self.end is not None:
            self.kill(*self.end)
        self._office.on_launched(self)

    # --- listened to ---

    def _on_channel(self, mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            if mask & WRITE:
                self._give_order()
            if mask & READ:
                self._hear()

    def _give_order(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            while self._order:
                self._order = self._order[self._channel.send(self._order) :]
        self._office.watch(self._channel.fileno(), READ | WRITE, READ, self._on_channel)

    def _hear(self) -> None:
        try:
            data, ancillary, _, _ = self._channel.recvmsg(CHUNK_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
        except ConnectionResetError:
            data, ancillary = b"", []
        if not data:
            self._is_mute = True
            self._office.unwatch(self._channel.fileno())
            if self.pid == -1 and self._is_forked:
                self.finish("crashed", _TOO_EARLY)
        elif self.pid == -1:
            self.pid = sender(ancillary)
            if self._is_forked:
                self._admit()
        else:
            self._on_words(data)

    def _on_words(self, data: bytes) -> None:
        *lines, self._words = (self._words + data).split(b"\n")
        try:
            for line in lines:
                self._on_word(json.loads(line))
        except (ValueError, KeyError, TypeError):
            self.kill("crashed", "it wrote to the channel that tells its end")
        if len(self._words) > WORDS_LIMIT_BYTES:
            self.kill("crashed", "it wrote to the channel that tells its end")

    def _on_word(self, word: dict[str, str]) -> None:
        if "exit" in word:
            code = int(word["exit"])
            way = f"signal {-code}" if code < 0 else f"exit status {code}"
            self.kill("crashed", f"its process ended by itself ({way})")
        else:
            self.kill("returned" if word["how"] == "returned" else "raised", str(word["detail"]))

    def _on_log(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            head = self._log.read()
            if head is None:
                self._office.unwatch(self._log.fd)
            else:
                self._say_log(head)

    def _say_log(self, data: bytes) -> None:
        for start in range(0, len(data), 2 * CHUNK_BYTES):
            self._office.send(LOG, self.number, 0, data[start : start + 2 * CHUNK_BYTES])

    # --- ended ---

    def kill(self, how: str, detail: str) -> None:
        """Note how it ended, the first word counts, and kill what is left of it."""
        self.end = self.end or (how, detail)
        if self._pidfd != -1:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _on_dead(self, _: int) -> None:
        """Hear its last words; its pid namespace is empty by now."""
        with contextlib.suppress(OSError):
            while data := self._channel.recv(CHUNK_BYTES):
                self._on_words(data)
        self.finish("crashed", "its process was killed")

    def finish(self, how: str, detail: str) -> None:
        """Let go of everything, and tell the server."""
        self.end = self.end or (how, detail)
        if self.door is not None:
            self.door.close()
        with contextlib.suppress(BlockingIOError):
            while (head := self._log.read()) is not None:
                self._say_log(head)
        self._say_log(self._log.end())
        self._close()
        words = {"how": self.end[0], "detail": self.end[1]}
        self._office.send(ENDED, self.number, 0, json.dumps(words).encode())
        self._office.on_ended(self)

    def _close(self) -> None:
        self._drop_child_ends()
        self._office.unwatch(self._channel.fileno())
        self._channel.close()
        self._office.unwatch(self._log.fd)
        os.close(self._log.fd)
        if self._pidfd != -1:
            self._office.unwatch_always(self._pidfd)
            os.close(self._pidfd)
        inspection.release_spaces(self._held_spaces)

    def _drop_child_ends(self) -> None:
        if self._child_output != -1:
            self._child_end.close()
            os.close(self._child_output)
            self._child_output = -1


def own_files(output: int, socket_end: socket.socket) -> set[str]:
    """Return what a process that is given these may have open, as /proc names it."""
    return {f"pipe:[{os.fstat(output).st_ino}]", f"socket:[{os.fstat(socket_end.fileno()).st_ino}]"}


def sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Return who sent a message, as the kernel says, in our own count of pids."""
    return next(
        _CREDENTIALS.unpack(data)[0]
        for level, kind, data in ancillary
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
    )
