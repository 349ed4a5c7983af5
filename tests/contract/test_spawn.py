"""Processes with piped stdio."""

from __future__ import annotations

import uuid

import anyio
import pytest
from anyio.abc import ByteReceiveStream
from support.processes import until, with_argument

from autoagent_mcp.errors import SandboxError
from autoagent_mcp.sandbox.base import Backend, Sandbox, SandboxSpec


async def read_all(stream: ByteReceiveStream) -> bytes:
    return b"".join([part async for part in stream])


async def test_a_process_talks_while_it_runs(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(("cat",))
    for word in (b"one", b"two"):
        await process.stdin.send(word)
        assert await process.stdout.receive() == word
    await process.stdin.aclose()
    assert await read_all(process.stdout) == b""
    assert await process.wait() == 0


async def test_stdout_and_stderr_are_apart_and_the_status_comes_back(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(("bash", "-c", "echo out; echo err >&2; exit 7"))
    assert await read_all(process.stdout) == b"out\n"
    assert await read_all(process.stderr) == b"err\n"
    assert await process.wait() == 7
    assert await process.wait() == 7


async def test_much_passes_both_ways_unharmed(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(("cat",))
    data = bytes(range(256)) * 20_000
    async with anyio.create_task_group() as group:

        async def send() -> None:
            await process.stdin.send(data)
            await process.stdin.aclose()

        group.start_soon(send)
        assert await read_all(process.stdout) == data


async def test_a_process_has_its_arguments_folder_and_variables(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(("bash", "-c", 'echo "$0 $1 $PWD $X"', "a b", "c'd"), cwd="/tmp", env={"X": "y"})  # noqa: S108
    assert await read_all(process.stdout) == b"a b c'd /tmp y\n"


async def test_a_program_that_does_not_exist_ends_with_127(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(("/no/such/program",))
    assert await process.wait() == 127
    assert b"No such file" in await read_all(process.stderr)


async def test_a_killed_process_is_dead_with_all_it_started(sandbox: Sandbox) -> None:
    mark = f"1{uuid.uuid4().int % 10**12}"
    process = await sandbox.spawn(("bash", "-c", f"trap '' TERM; setsid sleep {mark} & sleep {mark}"))
    await until(lambda: len(with_argument(mark)) >= 3)
    await process.kill()
    assert with_argument(mark) == []
    assert await process.wait() == 137
    await process.kill()


async def test_a_process_that_stopped_its_keeper_can_be_killed(sandbox: Sandbox) -> None:
    mark = f"1{uuid.uuid4().int % 10**12}"
    process = await sandbox.spawn(("bash", "-c", f"kill -STOP $PPID; sleep {mark}; true"))
    await until(lambda: len(with_argument(mark)) >= 2)
    await process.kill()
    await until(lambda: with_argument(mark) == [])
    assert (await sandbox.exec("echo alive")).stdout == "alive\n"


async def test_waiting_ends_when_the_sandbox_goes(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec) as sandbox:
        process = await sandbox.spawn(("sleep", "1000"))
    with anyio.fail_after(10):
        assert await process.wait() == 137
        assert await read_all(process.stdout) == b""


async def test_a_closed_stdin_is_told(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(("true",))
    await process.wait()
    with pytest.raises(anyio.BrokenResourceError):
        await process.stdin.send(b"x" * 1_000_000)
    await process.stdin.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await process.stdin.send(b"x")


async def test_a_lost_sandbox_spawns_nothing(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec) as sandbox:
        pass
    with pytest.raises(SandboxError):
        await sandbox.spawn(("true",))
