"""A sandbox that is a container, seen from the server."""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import PurePosixPath

import anyio
from anyio.abc import TaskGroup

from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.errors import EngineError, SandboxError, SandboxRefused
from autoagent_mcp.sandbox.base import ARCHIVE_LIMIT_BYTES, ExecResult, Network, SandboxSpec
from autoagent_mcp.sandbox.docker import copying, killing
from autoagent_mcp.sandbox.docker.command import NOT_STARTED, Command, Ended
from autoagent_mcp.sandbox.docker.engine import Engine
from autoagent_mcp.sandbox.docker.ours import Ours
from autoagent_mcp.sandbox.docker.process import ContainerProcess
from autoagent_mcp.sandbox.docker.watch import Watch

_log = logging.getLogger(__name__)
_LOST_HINT = "The trial is tried again in a new one."
_KILL_SEC = 1.5
"""For a command past its time to be killed from inside; then its container is started anew."""
_KILL_ALL_SEC = 5.0
_TOLD_SEC = 6.0
_OOM_TOLD_SEC = 0.5
"""An engine may tell that memory ran out a moment after it told that the command was killed."""
_UNTOLD_SEC = 3.0
"""For the engine to tell of commands that died with their container."""
_LIST_SEC = 5.0
_AGAIN_SEC = 0.02
_STOPPING_SEC = 10.0
"""For a container whose main process was killed to stop and be started again."""
_LAST_WORDS_SEC = 0.2
"""For what a dead command had written to arrive."""
_KILLED, _TIMED_OUT = 137, 124
_NO_USER = "unable to find user "
_INIT_AND_MAIN = 2
_CONFLICT = 409
_GONE = 404


class DockerSandbox:
    """Implements `base.Sandbox`."""

    def __init__(self, spec: SandboxSpec, container: str, engine: Engine, watch: Watch, group: TaskGroup) -> None:
        self._spec = spec
        self._container = container
        self._engine = engine
        self._watch = watch
        self._born = watch.generation
        self._group = group
        self._ours = Ours(engine, container)
        self._is_closed = False
        self._lines: dict[Command, Callable[[], None]] = {}
        """How the line to each command that runs is cut."""
        self._restarting = anyio.Lock()
        self._workdir = PurePosixPath(spec.workdir or spec.image.workdir)
        self._kept: frozenset[str] = frozenset()
        """Process ids inside of what the image's own start-up made; the bare main process needs no list."""
        self._kept_outside: frozenset[str] = frozenset()

    async def exec(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_sec: float | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """See `base.Sandbox.exec`."""
        mark = uuid.uuid4().hex
        argv = killing.below_init(mark, ("bash", "-c", command))
        if any("\0" in word for word in (command, cwd or "", *(env or {}), *(env or {}).values())):
            raise SandboxRefused(
                f"A command in {self._spec.name} holds a NUL character.", "Send it without; put binary data in a file."
            )
        oom = self._watch.next_oom(self._container)
        seconds = math.inf if timeout_sec is None else timeout_sec
        ended, timed_out = await self._run(argv, mark, seconds, cwd=cwd, env=env, user=user)
        if ended.status == _KILLED and not timed_out:
            await self._start_where_lost()
            with anyio.move_on_after(_OOM_TOLD_SEC):
                await oom.wait()
        if ended.never_ran and ended.stdout.startswith(_NO_USER.encode()):
            raise self._unknown_user(user)
        return self._result(ended, timed_out=timed_out, is_out_of_memory=oom.is_set())

    async def _run(
        self,
        argv: list[str],
        mark: str,
        seconds: float,
        *,
        cwd: str | None,
        env: Mapping[str, str] | None,
        user: str | int | None,
    ) -> tuple[Ended, bool]:
        give_up_at = anyio.current_time() + _STOPPING_SEC
        while True:
            running = await self._begin(argv, cwd=cwd, env=env, user=user)
            timed_out = await self._see_end(running, mark, seconds)
            if not running.met_stop or anyio.current_time() > give_up_at:
                return self._whole(running), timed_out
            await anyio.sleep(_AGAIN_SEC)

    async def _begin(
        self,
        argv: list[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | int | None = None,
        takes_input: bool = False,
    ) -> Command:
        """Make a command ready; where the container has stopped, as its main process was killed, start it again."""
        who = user if user is not None else self._spec.user
        options = {
            "environment": dict(env or {}),
            "workdir": str(self._workdir / (cwd or "")),
            "user": "" if who is None else str(who),
            "stdin": takes_input,
        }
        client = self._engine.client
        give_up_at = anyio.current_time() + _STOPPING_SEC
        while True:
            self._check()
            try:
                made = await self._engine.call(client.exec_create, self._container, argv, **options)
                return Command(self._engine, made["Id"])
            except EngineError as error:
                if _NO_USER in error.problem:  # engines from 25 on say it here, older ones as the command's output
                    raise self._unknown_user(who) from error
                if error.status != _CONFLICT or anyio.current_time() > give_up_at:
                    raise self._lost(error) from error
            await self._start_again()

    def _unknown_user(self, user: str | int | None) -> SandboxRefused:
        return SandboxRefused(
            f"A command in {self._spec.name} asks for the user {user!r}, which its image does not have.",
            "Name one of its /etc/passwd, or a number.",
        )

    async def _see_end(self, running: Command, mark: str, seconds: float) -> bool:
        """Follow a command to its end, or bring it about; return whether that was because the time was up."""
        self._lines[running] = running.cut
        timed_out = False
        try:
            async with background_tasks() as group:
                group.start_soon(running.follow)
                try:
                    timed_out = not await self._ends_within(running, seconds)
                finally:
                    if not running.ended.is_set():
                        with anyio.CancelScope(shield=True):
                            await self._end(running, mark)
        finally:
            del self._lines[running]
        return timed_out

    async def _ends_within(self, running: Command, seconds: float) -> bool:
        """Wait for its end; the engine tells it 2 s late where something that it left running holds its output open."""
        with anyio.move_on_after(seconds):
            await running.ended.wait()
        if not running.ended.is_set() and await self._is_dead(running):
            with anyio.move_on_after(_TOLD_SEC):
                await running.ended.wait()
        return running.ended.is_set()

    async def _end(self, running: Command, mark: str) -> None:
        """Kill a command with all that it started: from inside, or, where that does not help, with the container."""
        try:
            is_dead = await self._ours.kill_until(killing.kill_command(mark), lambda: self._is_dead(running), _KILL_SEC)
            if not is_dead:
                await self._start_again(by_force=True)
        except SandboxError as error:
            _log.warning("A command of %s could not be ended: %s", self._spec.name, error)
        with anyio.move_on_after(_LAST_WORDS_SEC):
            await running.ended.wait()
        running.cut()
        await running.ended.wait()

    async def _is_dead(self, running: Command) -> bool:
        if running.ended.is_set():
            return True
        try:
            process = await running.process_id()
            return process != NOT_STARTED and process not in await self._processes()
        except EngineError as error:
            if error.status not in {_CONFLICT, _GONE}:
                raise
            return True  # its container has stopped

    def _whole(self, running: Command) -> Ended:
        if running.problem is not None:
            raise self._lost(running.problem)
        self._check()
        return running.result

    def _result(self, ended: Ended, *, timed_out: bool, is_out_of_memory: bool) -> ExecResult:
        stdout, stderr = (part.decode(errors="replace") for part in (ended.stdout, ended.stderr))
        if ended.never_ran:
            stdout, stderr = "", stdout + stderr
        status = _KILLED if ended.status is None else ended.status
        if is_out_of_memory and status == _KILLED and not timed_out:
            stderr += f"\n[killed: the sandbox's processes and files took more than its {self._spec.limits.memory_mb} "
            stderr += "MB of memory]"
        return ExecResult(
            stdout=stdout, stderr=stderr, return_code=_TIMED_OUT if timed_out else status, timed_out=timed_out
        )

    async def spawn(
        self, argv: tuple[str, ...], *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> ContainerProcess:
        """See `base.Sandbox.spawn`."""
        mark = uuid.uuid4().hex
        command = await self._begin(killing.below_init(mark, argv), cwd=cwd, env=env, takes_input=True)
        process = ContainerProcess(command, lambda: self._kill(command, mark), self._lines)
        await self._group.start(process.carry)
        return process

    async def _kill(self, command: Command, mark: str) -> None:
        with anyio.CancelScope(shield=True):
            if not command.ended.is_set():
                await self._end(command, mark)

    async def put(self, archive: bytes, target: str) -> None:
        """See `base.Sandbox.put`."""
        self._check()
        try:
            if self._spec.role == "harness":
                await copying.put_inside(self, archive, target)
            else:
                await self._engine.call(copying.put, self._engine.client, self._container, archive, target)
        except EngineError as error:
            raise self._refused(error) from error

    async def get(self, source: str, *, limit_bytes: int = ARCHIVE_LIMIT_BYTES) -> bytes | None:
        """See `base.Sandbox.get`."""
        self._check()
        try:
            return await self._engine.call(copying.get, self._engine.client, self._container, source, limit_bytes)
        except EngineError as error:
            raise self._refused(error) from error
        except copying.TooLargeError:
            raise SandboxRefused(
                f"What was asked for from {self._spec.name} is over {limit_bytes} bytes.", "Ask for less of it."
            ) from None

    async def changes(self) -> tuple[str, ...]:
        """See `base.Sandbox.changes`; the engine's own docker-init, which it shows through /sbin, is none."""
        self._check()
        try:
            found = await self._engine.call(self._engine.client.diff, self._container)
        except EngineError as error:
            raise self._lost(error) from error
        paths = sorted(str(change["Path"]) for change in found or ())
        return tuple(path for path in paths if not path.endswith(killing.INIT))

    async def use_network(self, network: Network) -> None:
        """See `base.Sandbox.use_network`."""
        self._check()
        client, name = self._engine.client, self._watch.network
        if not self._spec.can_use_network or name is None:
            return
        change = (
            client.connect_container_to_network if network == "public" else client.disconnect_container_from_network
        )
        try:
            await self._engine.call(change, self._container, name)
        except EngineError as error:
            raise self._lost(error) from error

    # What runs

    async def note_startup(self) -> None:
        """See `base.Sandbox.note_startup`."""
        if not self._spec.image.has_startup:
            return
        self._check()
        try:
            listed = await self._ours.run(killing.list_processes(), _LIST_SEC)
            self._kept = frozenset(listed.stdout.decode().split())
            self._kept_outside = await self._processes()
        except EngineError as error:
            raise self._lost(error) from error

    async def kill_all(self) -> None:
        """See `base.Sandbox.kill_all`."""
        self._check()
        try:
            if await self._is_quiet():
                return
            if await self._ours.kill_until(killing.kill_all(tuple(sorted(self._kept))), self._is_quiet, _KILL_ALL_SEC):
                return
        except EngineError as error:
            if error.status != _CONFLICT:
                raise self._lost(error) from error
        await self._start_again(by_force=True)
        if not self._spec.image.has_startup and not await self._is_quiet():
            raise SandboxError(f"Something in sandbox {self._spec.name} cannot be killed.", _LOST_HINT)

    async def _is_quiet(self) -> bool:
        """Look from outside whether nothing runs but what was there at the start."""
        running = await self._processes()
        return running <= self._kept_outside if self._kept_outside else len(running) == _INIT_AND_MAIN

    async def _processes(self) -> frozenset[str]:
        """Return the engine's own numbers of all that runs inside."""
        found = await self._engine.call(self._engine.client.top, self._container, "-eo pid,stat")
        return frozenset(row[0] for row in found["Processes"] or () if not _is_ended(row[1]))

    async def _has_lost_main(self) -> bool:
        """Tell whether a command has killed the main process, too: the container then stops in the next moment."""
        try:
            return len(await self._processes()) < _INIT_AND_MAIN
        except EngineError as error:
            return error.status is not None

    async def _start_where_lost(self) -> None:
        async with self._restarting:  # of several commands that were killed with it, the first one starts it
            if await self._has_lost_main():
                await self._restart()

    async def _start_again(self, *, by_force: bool = False) -> None:
        """End everything inside and start the container; its files stay."""
        async with self._restarting:
            await self._restart(by_force=by_force)

    async def _restart(self, *, by_force: bool = True) -> None:
        client = self._engine.client
        self._check()
        try:
            if by_force:
                with suppress(EngineError):  # it stops by itself meanwhile
                    await self._engine.call(client.restart, self._container, timeout=0)
            await self._engine.call(client.start, self._container)
            await self.note_startup()
        except EngineError as error:
            raise self._lost(error) from error

    # Being lost

    def close(self) -> None:
        """Say from now on that it is gone, and cut every line into it."""
        self._is_closed = True
        for cut in tuple(self._lines.values()):
            cut()

    async def cut_untold(self) -> None:
        """Cut the line to each command that died with its container and is not told of; runs beside everything else.

        An engine forgets each command that is on record when it sees the container's end (moby, `Daemon.Cleanup`); of
        one whose own end it sees after that it tells nothing, and leaves its line open.
        """
        stop = self._watch.next_stop(self._container)
        while True:
            await stop.wait()
            stop = self._watch.next_stop(self._container)
            lines = tuple(self._lines.items())
            await anyio.sleep(_UNTOLD_SEC)
            for command, cut in lines:
                with suppress(EngineError):  # it went away, and all lines with it
                    if await self._is_dead(command):
                        cut()

    def _check(self) -> None:
        if self._is_closed:
            raise SandboxError(f"Sandbox {self._spec.name} is lost: it has ended.", _LOST_HINT)
        if self._watch.generation != self._born:
            raise SandboxError(f"Sandbox {self._spec.name} is lost: its Docker engine went away.", _LOST_HINT)

    def _lost(self, error: SandboxError) -> SandboxError:
        return SandboxError(f"Sandbox {self._spec.name} is lost: {error.problem}", _LOST_HINT)

    def _refused(self, error: EngineError) -> SandboxError:
        if error.status in {None, _GONE} or self._is_closed:
            return self._lost(error)
        return SandboxRefused(
            f"Sandbox {self._spec.name}: {error.problem}", "Look at the path, and at the disk's room."
        )


def _is_ended(state: str) -> bool:
    """Tell by ps's STAT; of a process whose first thread has ended, others may run on ("l")."""
    return state.startswith("Z") and "l" not in state
