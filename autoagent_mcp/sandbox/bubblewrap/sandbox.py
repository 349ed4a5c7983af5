"""A sandbox, seen from the server: requests to its process 1 (`inside.supervisor`).

Every request has a socket of its own, and waits on that without a thread.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import PurePosixPath
from typing import NamedTuple

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream

from autoagent_mcp.errors import SandboxError, SandboxRefused
from autoagent_mcp.sandbox.base import ARCHIVE_LIMIT_BYTES, ExecResult, Network, SandboxSpec
from autoagent_mcp.sandbox.bubblewrap.channel import Channel
from autoagent_mcp.sandbox.bubblewrap.inside import frames
from autoagent_mcp.sandbox.bubblewrap.pipes import PipeReader, PipeWriter
from autoagent_mcp.sandbox.bubblewrap.root import PATH

_LOST_HINT = "The trial is tried again in a new one."
_OVERDUE_SEC = 10.0
"""Process 1 ends a command within 2 s; one that does not within this is not trusted any more."""
_KILL_SEC = 2.0
_HOMES = {"task": "/root", "harness": "/tmp"}  # noqa: S108 - the sandbox's own
_KILLED, _TIMED_OUT = 137, 124


class Answer(NamedTuple):
    """What came back for a request: parts by kind, the last frame's payload, and why it broke off, if it did."""

    parts: dict[bytes, bytearray]
    last: bytes
    lost: str | None


class BubblewrapSandbox:
    """Implements `base.Sandbox`."""

    def __init__(self, spec: SandboxSpec, control: socket.socket) -> None:
        self._spec = spec
        self._control = control
        self._env = {"PATH": PATH, "HOME": _HOMES[spec.role], "LANG": "C.UTF-8", **spec.image.env, **spec.env}
        self._workdir = str(spec.workdir or spec.image.workdir)
        self._spawned: list[BubblewrapProcess] = []

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
        if user not in {None, "root", "0", 0}:
            raise SandboxRefused(
                f"A command in {self._spec.name} asks for the user {user!r}; a bubblewrap sandbox has only root.",
                "Leave the user out, or use the Docker backend.",
            )
        seconds = math.inf if timeout_sec is None else timeout_sec
        fields = self._process(("bash", "-c", command), cwd, env)
        with anyio.move_on_after(seconds + _OVERDUE_SEC):
            async with self._request(frames.EXEC, fields, seconds=seconds) as channel:
                begun = anyio.current_time()
                answer = await self._answer(channel)
                return _exec_result(answer, self._spec.limits.memory_mb, anyio.current_time() - begun >= seconds)
        raise self._lost("a command outlived its time")

    async def spawn(
        self, argv: tuple[str, ...], *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> BubblewrapProcess:
        """See `base.Sandbox.spawn`."""
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        ours_err, theirs_err = os.pipe()
        try:
            channel = self._open(frames.SPAWN, descriptors=(theirs_in, theirs_out, theirs_err))
        except BaseException:
            for descriptor in (ours_in, ours_out, ours_err):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (theirs_in, theirs_out, theirs_err):
                os.close(descriptor)
        process = BubblewrapProcess(channel, PipeWriter(ours_in), PipeReader(ours_out), PipeReader(ours_err))
        self._spawned = [each for each in self._spawned if not each.is_closed] + [process]
        try:
            await channel.send(frames.pack_request(self._process(argv, cwd, env)))
        except OSError as error:
            await process.kill()
            raise self._lost("it does not answer") from error
        except BaseException:
            process.close()
            raise
        return process

    async def put(self, archive: bytes, target: str) -> None:
        """See `base.Sandbox.put`."""
        async with self._request(frames.PUT, [os.fsencode(target)]) as channel:
            with suppress(OSError):  # refused on the way: the answer says why
                await channel.send(archive)
                channel.end()
            self._see_whole(await self._answer(channel))

    async def get(self, source: str, *, limit_bytes: int = ARCHIVE_LIMIT_BYTES) -> bytes | None:
        """See `base.Sandbox.get`."""
        async with self._request(frames.GET, [os.fsencode(source)]) as channel:
            answer = self._see_whole(await self._answer(channel, limit_bytes))
        return bytes(answer.parts.get(frames.DATA, b"")) if answer.last == b"1" else None

    async def note_startup(self) -> None:
        """See `Sandbox.note_startup`; there is none."""

    async def kill_all(self) -> None:
        """See `base.Sandbox.kill_all`."""
        channel = self._open(frames.KILL_ALL)
        try:
            with anyio.fail_after(_OVERDUE_SEC):
                await self._answer(channel)
        except TimeoutError as error:
            raise self._lost("its processes cannot be killed") from error
        finally:
            channel.close()

    async def use_network(self, network: Network) -> None:
        """See `base.Sandbox.use_network`; it runs offline."""

    async def changes(self) -> tuple[str, ...]:
        """See `base.Sandbox.changes`; nothing tells them here."""
        return ()

    def close(self) -> None:
        """Let go of the processes that were spawned: the sandbox has ended, and they with it."""
        for process in self._spawned:
            process.close()

    def _process(self, argv: tuple[str, ...], cwd: str | None, env: Mapping[str, str] | None) -> list[bytes]:
        variables = [f"{key}={value}" for key, value in {**self._env, **(env or {})}.items()]
        folder = str(PurePosixPath(self._workdir) / (cwd or ""))
        fields = [os.fsencode(field) for field in (folder, str(len(variables)), *variables, *argv)]
        if any(b"\0" in field for field in fields):
            raise SandboxRefused(
                f"A command in {self._spec.name} holds a NUL character.", "Send it without; put binary data in a file."
            )
        return fields

    @asynccontextmanager
    async def _request(self, kind: bytes, fields: list[bytes], *, seconds: float = math.inf) -> AsyncGenerator[Channel]:
        channel = self._open(kind, seconds)
        try:
            try:
                await channel.send(frames.pack_request(fields))
            except OSError as error:
                raise self._lost("it does not answer") from error
            yield channel
        finally:
            channel.close()

    def _open(self, kind: bytes, seconds: float = math.inf, descriptors: tuple[int, ...] = ()) -> Channel:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the stdlib's
        try:
            socket.send_fds(self._control, [frames.CONTROL.pack(kind, seconds)], [theirs.fileno(), *descriptors])
        except OSError as error:
            ours.close()
            raise self._lost("its process 1 has ended") from error
        finally:
            theirs.close()
        return Channel(ours)

    async def _answer(self, channel: Channel, limit_bytes: int = ARCHIVE_LIMIT_BYTES) -> Answer:
        parts: dict[bytes, bytearray] = {}
        total = 0
        try:
            while True:
                kind, payload = await channel.frame()
                if kind == frames.DONE:
                    return Answer(parts, payload, None)
                if kind == frames.LOST:
                    return Answer(parts, b"", payload.decode())
                if kind == frames.FAILED:
                    raise SandboxRefused(
                        f"Sandbox {self._spec.name}: {payload.decode(errors='replace')}.",
                        "Free or raise its storage_mb if that is full; else look at the path.",
                    )
                total += len(payload)
                if total > limit_bytes:
                    raise SandboxRefused(
                        f"What was asked for from {self._spec.name} is over {limit_bytes} bytes.", "Ask for less of it."
                    )
                parts.setdefault(kind, bytearray()).extend(payload)
        except EOFError:
            raise self._lost("its process 1 has ended") from None

    def _see_whole(self, answer: Answer) -> Answer:
        if answer.lost is not None:
            raise SandboxRefused(
                f"Sandbox {self._spec.name}: carrying files {answer.lost}.", "Carry less, or raise its memory_mb."
            )
        return answer

    def _lost(self, how: str) -> SandboxError:
        return SandboxError(f"Sandbox {self._spec.name} is lost: {how}.", _LOST_HINT)


def _exec_result(answer: Answer, memory_mb: int, is_overdue: bool) -> ExecResult:  # noqa: FBT001
    stdout, stderr = (
        bytes(answer.parts.get(kind, b"")).decode(errors="replace") for kind in (frames.STDOUT, frames.STDERR)
    )
    if answer.lost is not None:
        status, timed_out, out_of_memory = _KILLED, is_overdue, False
        stderr += f"\n[the command {answer.lost}]"
    else:
        status, timed_out, out_of_memory = (int(word) for word in answer.last.split())
    if out_of_memory:
        stderr += f"\n[killed: the sandbox's processes and files took more than its {memory_mb} MB of memory]"
    return ExecResult(
        stdout=stdout, stderr=stderr, return_code=_TIMED_OUT if timed_out else status, timed_out=bool(timed_out)
    )


class BubblewrapProcess:
    """Implements `base.Process`."""

    def __init__(self, channel: Channel, stdin: PipeWriter, stdout: PipeReader, stderr: PipeReader) -> None:
        self._channel = channel
        self._pipes = (stdin, stdout, stderr)
        self.stdin: ByteSendStream = stdin
        self.stdout: ByteReceiveStream = stdout
        self.stderr: ByteReceiveStream = stderr
        self._reading = anyio.Lock()
        self._status: int | None = None

    async def wait(self) -> int:
        """See `base.Process.wait`; 137 also where the whole sandbox went away."""
        async with self._reading:
            if self._status is None:
                try:
                    kind, payload = await self._channel.frame()
                except EOFError:
                    kind, payload = frames.LOST, b""
                self._status = int(payload.split()[0]) if kind == frames.DONE else _KILLED
                self._channel.close()
            return self._status

    async def kill(self) -> None:
        """See `base.Process.kill`."""
        with anyio.CancelScope(shield=True):
            self._channel.end()
            with anyio.move_on_after(_KILL_SEC):
                await self.wait()
            self.close()

    @property
    def is_closed(self) -> bool:
        """Whether nothing of it is held any more."""
        return self._channel.is_closed and all(pipe.is_closed for pipe in self._pipes)

    def close(self) -> None:
        """Let go of it; its keeper then kills it, and process 1 what the keeper does not."""
        self._channel.close()
        for pipe in self._pipes:
            pipe.close()
