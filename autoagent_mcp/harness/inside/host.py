"""The host: the harness sandbox's only way out.

It speaks frames with the server over stdin and stdout, has `child.py` import agent.py once in namespaces of its own,
and has one child forked from that for each trial. It never runs agent.py's code itself and believes nothing that comes
from a process that does: it looks at each child from outside before it lets it have its trial. It listens inside each
child's own network namespace and carries what connects there to the server.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
from collections import deque
from pathlib import Path
from typing import NoReturn

from autoagent_mcp.harness.inside import child, inspection, kernel
from autoagent_mcp.harness.inside.frames import HEADER, KILL, READY, START
from autoagent_mcp.harness.inside.streams import READ, Log
from autoagent_mcp.harness.inside.trial import WORDS_LIMIT_BYTES, Trial, own_files, sender
from autoagent_mcp.harness.inside.wire import Wire, standard_streams

_PRINTED_LIMIT_BYTES = 2000
_CREDENTIALS_SPACE = socket.CMSG_SPACE(12)


class Host(Wire):
    """Keeps the process that imported agent.py, and the trials."""

    def __init__(self, source: int, sink: int) -> None:
        super().__init__(source, sink)
        self.own_net = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._trials: dict[int, Trial] = {}
        self._queue: deque[Trial] = deque()
        self._launching: Trial | None = None
        self._notice = ""
        self._start_warm(imports=True)

    # --- what trials call ---

    def on_ended(self, trial: Trial) -> None:
        """Forget a trial."""
        del self._trials[trial.number]
        self.on_launched(trial)

    # --- the server ---

    def obey(self, kind: int, number: int, stream: int, payload: bytes) -> None:
        """See `Wire.obey`."""
        if kind == START:
            self._trials[number] = Trial(number, payload, self)
            self._queue.append(self._trials[number])
            self._launch()
        elif (trial := self._trials.get(number)) is None:
            return
        elif kind == KILL:
            trial.kill("crashed", "it was killed")
        elif trial.door is not None:
            trial.door.obey(kind, stream, payload)

    # --- the process that imports agent.py, and forks ---

    def _start_warm(self, *, imports: bool) -> None:
        self._command, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._command.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        output, their_output = os.pipe()
        self._warm_files = own_files(output, theirs)
        starter = os.fork()
        if starter == 0:
            child.warm(theirs, their_output, imports=imports)
        theirs.close()
        os.close(their_output)
        os.waitpid(starter, 0)
        self._warm_log = Log(output)
        self._warm_pid = -1
        self.watch_always(self._command.fileno(), self._on_warm)
        self.watch(output, 0, READ, self._on_warm_log)

    def _on_warm_log(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            if self._warm_log.read() is None:
                self.unwatch(self._warm_log.fd)

    def _on_warm(self, _: int) -> None:
        message, ancillary, _, _ = self._command.recvmsg(WORDS_LIMIT_BYTES, _CREDENTIALS_SPACE)
        if self._warm_pid == -1:
            self._on_imported(message, ancillary)
        elif not message or self._launching is None:
            sys.exit("The process that imported agent.py is gone.")
        else:
            self._launching.on_forked(message)

    def _on_imported(self, message: bytes, ancillary: list[tuple[int, int, bytes]]) -> None:
        if not message:
            self.unwatch_always(self._command.fileno())
            self._tell({"error": f"{self._printed()}\nIt ended the process that imported it."})
        elif words := json.loads(message):
            self._tell(words)
        else:
            self._warm_pid = sender(ancillary)
            self._look_at_warm()

    def _look_at_warm(self) -> None:
        if left := inspection.leftovers(self._warm_pid, self._warm_files):
            # What all forks share, all trials would share.
            self._notice = f"Importing agent.py leaves {' and '.join(left)} behind, so each trial imports it by itself."
            self.unwatch_always(self._command.fileno())
            self._command.close()
            self.unwatch(self._warm_log.fd)
            os.close(self._warm_log.fd)
            os.kill(self._warm_pid, signal.SIGKILL)
            self._start_warm(imports=False)
            return
        self._shared_devices = inspection.devices(self._warm_pid)
        self._shared_spaces = inspection.spaces(self._warm_pid) | inspection.spaces(os.getpid())
        self._tell({"notice": self._notice})

    def _tell(self, words: dict[str, str]) -> None:
        self.send(READY, 0, 0, json.dumps(words).encode())

    def _printed(self) -> str:
        with contextlib.suppress(BlockingIOError):
            while self._warm_log.read() is not None:
                pass
        return self._warm_log.end()[-_PRINTED_LIMIT_BYTES:].decode(errors="replace")

    # --- trials on their way in ---

    def _launch(self) -> None:
        """Have the next one forked; one at a time, so that a process too many is seen."""
        if self._launching is not None or not self._queue:
            return
        trial = self._launching = self._queue.popleft()
        if trial.end:
            trial.finish(*trial.end)
        else:
            trial.launch(self._command)

    def on_launched(self, trial: Trial) -> None:
        """Go on with the next one."""
        if self._launching is trial:
            self._launching = None
            self._launch()

    def examine(self, trial: Trial) -> None:
        """See that a child is alone, and that nothing came to be beside it."""
        others = [other for other in self._trials.values() if other is not trial]
        taken = self._shared_spaces.union(*(other.spaces for other in others))
        trial.spaces = inspection.examine(trial.pid, trial.own_files, taken, self._shared_devices)
        known = {other.pid for other in others} | {trial.pid}
        if strangers := inspection.children(self._warm_pid) - known:
            raise inspection.Distrust(f"agent.py started {len(strangers)} processes outside of any trial")
        if files := inspection.open_files(self._warm_pid, self._warm_files):
            raise inspection.Distrust(f"agent.py keeps a file open outside of any trial ({files[0]})")


def main() -> NoReturn:
    """Speak over stdin and stdout, which nothing else here may reach."""
    source, sink = standard_streams()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        # Rights over the children's namespaces, which are made below these; also over the way back from their networks.
        kernel.enter_namespaces(kernel.NEW_NET)
        # The kernel's memory killer takes a trial (1000) first, then the process that forks (900).
        Path("/proc/self/oom_score_adj").write_text("800", encoding="ascii")
    except OSError as error:
        words = json.dumps({"refused": str(error)}).encode()
        os.write(sink, HEADER.pack(READY, 0, 0, len(words)) + words)
        sys.exit(1)
    Host(source, sink).run()
