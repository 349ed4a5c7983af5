"""A host for one trial that makes no namespaces: the sandbox around it is that trial's alone.

It does what `host.py` does, in the same frames. What runs agent.py could harm it, and would harm only its own trial.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import socket
import sys
from typing import Any, NoReturn

from autoagent_mcp.harness.inside.frames import CHUNK_BYTES, ENDED, KILL, LOG, READY, START, STARTED
from autoagent_mcp.harness.inside.streams import READ, Door, Log
from autoagent_mcp.harness.inside.wire import Wire, standard_streams
from autoagent_mcp.harness.inside.work import keep_only, prepare, receive, run, try_import

_WORDS_LIMIT_BYTES = 64 * 1024
_PRINTED_LIMIT_BYTES = 2000
_GARBAGE = "it wrote to the channel that tells its end"


class Alone(Wire):
    """Has agent.py imported at once, and its run_task called when the server gives the order."""

    def __init__(self, source: int, sink: int, *, user: str, libraries: str) -> None:
        super().__init__(source, sink)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self._channel, theirs = socket.socketpair()
        output, their_output = os.pipe()
        self._agent = os.fork()
        if self._agent == 0:
            _be_agent(theirs, their_output, self._listener.getsockname()[1], user, libraries)
        theirs.close()
        os.close(their_output)
        self._number = 0
        self._has_told_import = self._is_over = False
        self._death = ""
        """How the process that runs agent.py died."""
        self._early = bytearray()
        """What was printed before there was a trial to put it to."""
        self._words = b""
        self._door: Door | None = None
        self._log = Log(output)
        self._channel.setblocking(False)
        self._pidfd = os.pidfd_open(self._agent)
        self.watch_always(self._pidfd, self._on_dead)
        self.watch(self._channel.fileno(), 0, READ, self._on_channel)
        self.watch(output, 0, READ, self._on_log)

    def obey(self, kind: int, number: int, stream: int, payload: bytes) -> None:
        """See `Wire.obey`."""
        if self._is_over:
            return
        if kind == START:
            self._begin(number, payload)
        elif kind == KILL:
            self._end("crashed", "it was killed")
        elif self._door is not None:
            self._door.obey(kind, stream, payload)

    def _begin(self, number: int, order: bytes) -> None:
        self._number = number
        self._door = Door(self, number, self._listener)
        self.send(STARTED, number, 0, b"")
        self._say_log(bytes(self._early))
        self._channel.setblocking(True)  # it was listening when it told of its import, and reads nothing else
        with contextlib.suppress(OSError):  # it has ended
            self._channel.sendall(order + b"\n")
        self._channel.setblocking(False)
        if self._death:
            self._end("crashed", self._death)

    def _on_channel(self, _: int) -> None:
        try:
            self._hear()
        except BlockingIOError:
            return
        except OSError:
            self.unwatch(self._channel.fileno())

    def _hear(self) -> bool:
        """Read once; say whether there may be more.

        Raises:
            OSError: Nothing has come yet, or the line is broken.
        """
        data = self._channel.recv(CHUNK_BYTES)
        if not data:
            self.unwatch(self._channel.fileno())
        *lines, self._words = (self._words + data).split(b"\n")
        try:
            for line in lines:
                self._on_word(json.loads(line))
        except (ValueError, KeyError, TypeError):
            self._end("crashed", _GARBAGE)
        if len(self._words) > _WORDS_LIMIT_BYTES:
            self._end("crashed", _GARBAGE)
        return bool(data) and not self._is_over

    def _on_word(self, word: dict[str, Any]) -> None:
        if "imported" in word:
            self._tell(word["imported"])
        else:
            self._end("returned" if word["how"] == "returned" else "raised", str(word["detail"]))

    def _on_dead(self, _: int) -> None:
        self.unwatch_always(self._pidfd)
        with contextlib.suppress(OSError):  # BlockingIOError where others that it started hold the channel, too
            while self._hear():
                pass
        code = os.waitstatus_to_exitcode(os.waitpid(self._agent, 0)[1])
        way = f"signal {-code}" if code < 0 else f"exit status {code}"
        self._death = f"its process ended by itself ({way})"
        if self._number:
            self._end("crashed", self._death)
        elif not self._has_told_import:
            self._read_log()
            printed = self._early[-_PRINTED_LIMIT_BYTES:].decode(errors="replace")
            self._tell({"error": f"{printed}\nIt ended the process that imported it ({way})."})

    def _on_log(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            head = self._log.read()
            if head is None:
                self.unwatch(self._log.fd)
            else:
                self._say_log(head)

    def _read_log(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while (head := self._log.read()) is not None:
                self._say_log(head)
        self._say_log(self._log.end())

    def _say_log(self, data: bytes) -> None:
        if not self._number:
            self._early += data
            return
        for start in range(0, len(data), 2 * CHUNK_BYTES):
            self.send(LOG, self._number, 0, data[start : start + 2 * CHUNK_BYTES])

    def _end(self, how: str, detail: str) -> None:
        """Tell the server how it ended, which kills all that is left of it here."""
        if self._is_over:
            return
        self._is_over = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._agent, signal.SIGKILL)
        if self._door is not None:
            self._door.close()
        self._read_log()
        self.send(ENDED, self._number, 0, json.dumps({"how": how, "detail": detail}).encode())

    def _tell(self, words: dict[str, str]) -> None:
        self._has_told_import = True
        self.send(READY, 0, 0, json.dumps(words).encode())


def _be_agent(channel: socket.socket, output: int, port: int, user: str, libraries: str) -> NoReturn:
    keep_only(channel.fileno(), output)
    os.setsid()
    try:
        if user:
            _become(user)
    except (OSError, KeyError) as error:
        _tell_host(channel, {"refused": f"to be the user {user} ({error})"})
        os._exit(1)
    prepare(port, [libraries])
    _tell_host(channel, try_import())
    run(receive(channel), channel, port)


def _tell_host(channel: socket.socket, words: dict[str, str]) -> None:
    channel.sendall(json.dumps({"imported": words}).encode() + b"\n")


def _become(user: str) -> None:
    entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    os.initgroups(entry.pw_name, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ.update(HOME=entry.pw_dir, USER=entry.pw_name)


def main() -> NoReturn:
    """Serve one trial; the arguments name the user who runs it ("" for this one) and the folder of its libraries."""
    user, libraries = sys.argv[1:]
    Alone(*standard_streams(), user=user, libraries=libraries).run()
