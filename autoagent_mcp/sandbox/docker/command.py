"""One command in a container: followed to its end in a worker thread, its output cut in the middle."""

from __future__ import annotations

import re

import anyio
from docker.errors import NotFound

from autoagent_mcp.errors import EngineError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.sandbox.base import OUTPUT_LIMIT_BYTES
from autoagent_mcp.sandbox.docker.attached import STDERR, STDOUT, Attached
from autoagent_mcp.sandbox.docker.engine import Engine
from autoagent_mcp.sandbox.output import Cut

_ENDED = rb"cannot exec in a |container (?:(?:is )?not running|not created)|task [0-9a-f]{64} not found"
_NEVER_RAN = re.compile(rb"OCI runtime exec failed|unable to find user |" + _ENDED)
_STOPPING = re.compile(_ENDED + rb"|setns process|namespace path|init-p")
"""What it fails on where a container's processes are ending; once the engine knows of it, it refuses by itself."""
NOT_STARTED = "0"
"""The process id of a command that the engine has yet to start."""
_CANNOT_ENTER = 126
_CANNOT = {_CANNOT_ENTER, 127}
_NO_FOLDER = b": chdir to cwd "
"""Engines from 25 on give this 127."""


class Ended(Frozen):
    """What a command gave."""

    stdout: bytes
    stderr: bytes
    status: int | None
    """None where the engine does not know it, as the container was started anew meanwhile."""

    @property
    def never_ran(self) -> bool:
        """Whether stdout is the engine's own complaint, and no command ran."""
        return self.status in _CANNOT and _NEVER_RAN.match(self.stdout) is not None


class Command:
    """A command that was made ready in the engine.

    Args:
        engine: Where.
        id_: The engine's name for it.
    """

    def __init__(self, engine: Engine, id_: str) -> None:
        self._engine = engine
        self._id = id_
        self.line: Attached | None = None
        self._is_cut = False
        self.ended = anyio.Event()
        self.problem: EngineError | None = None
        """Why it could not be followed to its end."""
        self.result = Ended(stdout=b"", stderr=b"", status=None)

    async def follow(self) -> None:
        """Run it, keep its output, and note how it ended; nothing is raised."""
        try:
            self.result = await self._engine.stream(self._run)
        except EngineError as error:
            self.problem = error
        finally:
            self.ended.set()

    def attach(self) -> Attached:
        """Start it and return the line to it; blocks.

        Raises:
            docker.errors.DockerException: It could not be started.
        """
        line = Attached(self._engine.client.exec_start(self._id, socket=True))
        self.line = line
        if self._is_cut:
            line.cut()
        return line

    def _run(self) -> Ended:
        kept = {STDOUT: Cut(OUTPUT_LIMIT_BYTES), STDERR: Cut(OUTPUT_LIMIT_BYTES)}
        line = self.attach()
        try:
            for stream, data in line.frames():
                kept[stream].add(data)
        finally:
            line.close()
        ended = Ended(stdout=kept[STDOUT].text(), stderr=kept[STDERR].text(), status=self.status())
        has_no_folder = ended.never_ran and _NO_FOLDER in ended.stdout
        return ended.model_copy(update={"status": _CANNOT_ENTER}) if has_no_folder else ended

    @property
    def met_stop(self) -> bool:
        """Whether it could not be started, as its container was stopping."""
        if self.problem is not None:
            return self.problem.status is not None
        return self.result.never_ran and _STOPPING.search(self.result.stdout) is not None

    async def process_id(self) -> str:
        """Return the engine's own number for its first process.

        Raises:
            EngineError: The engine does not answer.
        """
        found = await self._engine.call(self._engine.client.exec_inspect, self._id)
        return str(found["Pid"])

    def status(self) -> int | None:
        """Return its exit status; None where it is not known, as its container has stopped meanwhile; blocks.

        Raises:
            docker.errors.DockerException: The engine does not answer.
        """
        try:
            found = self._engine.client.exec_inspect(self._id)
        except NotFound:  # forgotten, and no sign that it never ran
            return None
        return None if found["Running"] else found["ExitCode"]

    def cut(self) -> None:
        """Cut the line to it: `follow` ends."""
        self._is_cut = True
        if self.line is not None:
            self.line.cut()
