"""A harness sandbox that breaks, and a harness that floods its only door."""

from __future__ import annotations

import ast
import os
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from support.harnesses import KeptSandboxes, Trials, agent, kill_sandboxes, processes, trials

from autoagent_mcp.errors import SandboxError
from autoagent_mcp.harness.process import HarnessEnd
from autoagent_mcp.sandbox.base import Backend, Sandbox

WAITS = """
    import asyncio
    if instruction == "call":
        await environment.exec("hold")
    elif instruction == "wait":
        print("waits")
        await asyncio.Event().wait()
    return "done"
"""


async def printed(harness: Trials, trial: str) -> None:
    """Wait until a trial has printed something."""
    with anyio.fail_after(10):
        while not harness.log(trial):  # noqa: ASYNC110 - a file tells nobody
            await anyio.sleep(0.01)


async def kill_all(sandbox: Sandbox) -> None:
    """Kill everything in a harness's sandbox, which may be gone before the command has ended."""
    with suppress(SandboxError):
        await sandbox.exec("kill -KILL -1")


async def test_a_host_that_is_killed_fails_its_trials_and_the_next_one_gets_a_new_sandbox(
    tmp_path: Path, backend: Backend
) -> None:
    kept = KeptSandboxes(backend)
    async with trials(agent(WAITS), tmp_path, kept) as harness:
        ends: list[HarnessEnd] = []

        async def run(instruction: str) -> None:
            ends.append(await harness.run(instruction, trial=instruction))

        async with anyio.create_task_group() as group:
            group.start_soon(run, "call")
            group.start_soon(run, "wait")
            await anyio.to_thread.run_sync(harness.gateway.wait_for, "hold")
            await printed(harness, "wait")
            await kill_all(kept.live[0])
        assert [end.how for end in ends] == ["crashed", "crashed"]
        assert await harness.run() == HarnessEnd(how="returned", detail="done")


@pytest.mark.parametrize(("instruction", "how"), [("wait", "lost"), ("call", "crashed")])
async def test_a_lost_sandbox_is_the_harnesss_failure_once_it_has_begun_to_work(
    instruction: str, how: str, tmp_path: Path, backend: Backend
) -> None:
    async with trials(agent(WAITS), tmp_path, backend) as harness:
        ends: list[HarnessEnd] = []

        async def run() -> None:
            ends.append(await harness.run(instruction))

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            if instruction == "wait":
                await printed(harness, "trial")
            else:
                await anyio.to_thread.run_sync(harness.gateway.wait_for, "hold")
            kill_sandboxes(backend.name)
        assert [end.how for end in ends] == [how]
        assert (await harness.run()).how == "returned"


async def test_a_sandbox_that_cannot_be_started_again_loses_the_trial(tmp_path: Path, backend: Backend) -> None:
    kept = KeptSandboxes(backend)
    async with trials(agent(WAITS), tmp_path, kept) as harness:
        await kill_all(kept.live[0])
        with anyio.fail_after(10):
            await kept.gone.wait()
        kept.is_refusing = True
        assert await harness.run() == HarnessEnd(how="lost", detail="No more sandboxes. Stop the test.")


async def test_a_sandbox_that_cannot_be_started_at_all_is_told(tmp_path: Path, backend: Backend) -> None:
    kept = KeptSandboxes(backend)
    kept.is_refusing = True
    with pytest.raises(SandboxError, match="No more sandboxes"):
        async with trials(agent(WAITS), tmp_path, kept):
            pass


async def test_what_goes_wrong_in_the_run_is_not_wrapped(tmp_path: Path, backend: Backend) -> None:
    with pytest.raises(OSError, match="disk"):
        async with trials(agent(WAITS), tmp_path, backend):
            raise OSError("disk")


async def test_nothing_is_left_when_the_harness_is_left(tmp_path: Path, backend: Backend) -> None:
    marker = f"87654{os.getpid()}"
    files = agent(WAITS, top=f"import subprocess\nsubprocess.Popen(['sleep', '{marker}'])")
    async with trials(files, tmp_path, backend) as harness:
        assert harness.harness.notices
    assert processes(marker) == []


async def test_a_flood_into_the_gateway_stalls_only_itself(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import asyncio, socket
        if instruction == "flood":
            sent = 0
            with socket.create_connection(("127.0.0.1", 4000)) as flood:
                flood.sendall(b"POST /stall HTTP/1.1\\r\\nContent-Length: 1000000000\\r\\n\\r\\n")
                flood.settimeout(1)
                try:
                    while True:
                        sent += flood.send(bytes(1 << 20))
                except TimeoutError:
                    pass
                await environment.exec("ls")
                return str(sent)
        return str(len(await asyncio.gather(*(environment.exec("ls") for _ in range(50)))))
    """)
    ends: dict[str, HarnessEnd] = {}
    async with trials(files, tmp_path, backend) as harness:

        async def run(instruction: str) -> None:
            ends[instruction] = await harness.run(instruction, trial=instruction)

        async with anyio.create_task_group() as group:
            group.start_soon(run, "flood")
            await anyio.to_thread.run_sync(harness.gateway.wait_for_path, "/stall")
            await run("sibling")
        assert ends["sibling"] == HarnessEnd(how="returned", detail="50")
        assert ends["flood"].how == "returned"
        # The window and what the kernel buffers on both loopbacks.
        assert 256 * 1024 < int(ends["flood"].detail) < 40_000_000


async def test_an_answer_that_nobody_reads_stalls_only_itself(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import socket, urllib.request
        with socket.create_connection(("127.0.0.1", 4000)) as unread:
            unread.sendall(b"GET /big HTTP/1.1\\r\\n\\r\\n")
            with urllib.request.urlopen("http://127.0.0.1:4000/big") as answer:
                return str(len(answer.read()))
    """)
    async with trials(files, tmp_path, backend) as harness:
        assert await harness.run() == HarnessEnd(how="returned", detail="20000000")


async def test_more_connections_than_are_carried_at_once_wait_for_their_turn(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import http.client, socket, threading
        idle = [socket.create_connection(("127.0.0.1", 4000)) for _ in range(40)]
        answers = []
        def ask():
            connection = http.client.HTTPConnection("127.0.0.1", 4000)
            connection.request("POST", "/x", "{}")
            answers.append(connection.getresponse().status)
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(0.5)
        before = len(answers)
        for sock in idle:
            sock.close()
        thread.join(10)
        return repr((before, answers))
    """)
    async with trials(files, tmp_path, backend) as harness:
        assert ast.literal_eval((await harness.run()).detail) == (0, [200])


async def test_garbage_on_its_channel_ends_only_that_trial(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import os, socket, stat
        if instruction == "garbage":
            for fd in range(3, 64):
                try:
                    if stat.S_ISSOCK(os.fstat(fd).st_mode):
                        os.write(fd, b"\\x00garbage\\n" * 100)
                except OSError:
                    pass
            await environment.exec("hold")
        return "done"
    """)
    async with trials(files, tmp_path, backend) as harness:
        end = await harness.run("garbage")
        assert end == HarnessEnd(how="crashed", detail="it wrote to the channel that tells its end")
        assert (await harness.run()).how == "returned"


async def test_an_instruction_of_a_megabyte_arrives_whole(tmp_path: Path, backend: Backend) -> None:
    async with trials(agent("return str(len(instruction)) + instruction[-3:]"), tmp_path, backend) as harness:
        assert (await harness.run("ä" * 500_000 + "end")).detail == "500003end"
