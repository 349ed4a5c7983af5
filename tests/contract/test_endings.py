"""Ending commands and sandboxes: nothing is left behind, and nothing else is touched."""

from __future__ import annotations

import math
import uuid

import anyio
import pytest
from support.processes import until, with_argument

from autoagent_mcp.errors import SandboxError
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Backend, Sandbox, SandboxSpec


@pytest.fixture
def mark() -> str:
    """Return a number of seconds that no other process sleeps."""
    return f"1{uuid.uuid4().int % 10**12}"


HIDING = {
    "in the foreground": "sleep MARK",
    "in the background": "sleep MARK & wait",
    "in a session of its own": "setsid sleep MARK & wait",
    "forked twice": "( ( setsid sleep MARK & ) & ) ; sleep MARK",
    "deaf to signals": "trap '' TERM INT HUP QUIT; (trap '' TERM INT HUP; sleep MARK) & while :; do sleep MARK; done",
    "with a child that waits for its parent's end": "(while kill -0 $$; do sleep 0.01; done; sleep MARK) & sleep MARK",
    "stopped": "sleep MARK & kill -STOP $!; sleep MARK",
}


@pytest.mark.parametrize("how", HIDING)
async def test_a_command_past_its_time_is_dead_with_all_it_started(sandbox: Sandbox, mark: str, how: str) -> None:
    with anyio.fail_after(10):
        result = await sandbox.exec(HIDING[how].replace("MARK", mark), timeout_sec=0.3)
    assert result.timed_out
    assert result.return_code == 124
    assert with_argument(mark) == []


async def test_what_a_command_printed_before_its_time_was_up_is_kept(sandbox: Sandbox) -> None:
    result = await sandbox.exec("echo before; sleep 1000", timeout_sec=0.3)
    assert result.stdout == "before\n"


async def test_a_fork_bomb_past_its_time_is_dead(sandbox: Sandbox, mark: str) -> None:
    with anyio.fail_after(20):
        result = await sandbox.exec(f"bomb() {{ bomb {mark} & bomb {mark} & }}; bomb; sleep {mark}", timeout_sec=0.5)
    assert result.timed_out
    assert (await sandbox.exec("ps ax | wc -l")).return_code == 0
    assert with_argument(mark) == []


async def test_a_fork_bomb_of_sessions_past_its_time_is_dead(sandbox: Sandbox, mark: str) -> None:
    code = (
        f"import os, sys\n# {mark}\nwhile True:\n    try:\n        os.fork() or os.setsid()\n    except OSError: pass"
    )
    with anyio.fail_after(20):
        result = await sandbox.exec(f"python3 -c '{code}'", timeout_sec=0.5)
    assert result.timed_out
    await until(lambda: with_argument(mark) == [])


async def test_what_a_command_leaves_running_lives_on_and_is_found_by_the_next(sandbox: Sandbox) -> None:
    await sandbox.put(
        archive.pack_files({"serve.py": b"import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8123)"}),
        "/srv",
    )
    with anyio.fail_after(10):
        started = await sandbox.exec("python3 serve.py > log 2>&1 & echo started", cwd="/srv")
    assert started.stdout == "started\n"
    get = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8123/serve.py').status)"
    fetch = f'for i in $(seq 100); do python3 -c "{get}" 2>/dev/null && break; sleep 0.05; done'
    assert (await sandbox.exec(fetch)).stdout == "200\n"
    late = await sandbox.exec("sleep 1000", timeout_sec=0.2)
    assert late.timed_out
    assert (await sandbox.exec(fetch)).stdout == "200\n"


@pytest.mark.only_on("bubblewrap", "an engine closes a command's output 2 s after its end")
async def test_what_a_command_leaves_running_may_go_on_writing_to_its_output(sandbox: Sandbox) -> None:
    await sandbox.exec("(while :; do echo more || touch /tmp/broken; touch /tmp/written; done) & true")
    assert (await sandbox.exec("until [ -e /tmp/written ]; do :; done; ls /tmp/broken")).return_code == 2


async def test_a_command_that_ended_in_time_is_not_late_for_what_it_left_running(sandbox: Sandbox) -> None:
    result = await sandbox.exec("sleep 1000 & echo ended; exit 3", timeout_sec=1)
    assert (result.return_code, result.stdout, result.timed_out) == (3, "ended\n", False)


async def test_a_command_ends_though_what_it_left_running_prints_for_ever(sandbox: Sandbox) -> None:
    with anyio.fail_after(20):
        result = await sandbox.exec("yes & echo started; exit 5")
        assert result.return_code == 5
        assert (await sandbox.exec("pgrep -c yes")).stdout == "1\n"


async def test_all_commands_can_be_killed_however_they_hid_and_files_stay(sandbox: Sandbox, mark: str) -> None:
    await sandbox.exec("echo kept > /tmp/kept")
    for command in HIDING.values():
        await sandbox.exec(f"({command.replace('MARK', mark)}) > /dev/null 2>&1 & true")
    assert with_argument(mark)
    await sandbox.kill_all()
    assert with_argument(mark) == []
    assert (await sandbox.exec("cat /tmp/kept")).stdout == "kept\n"


async def test_what_kills_all_does_not_meet_the_next_command(sandbox: Sandbox) -> None:
    for _ in range(20):
        await sandbox.exec("for i in 1 2 3; do setsid sleep 1000 > /dev/null 2>&1 & done; true")
        await sandbox.kill_all()
        assert (await sandbox.exec("echo alive")).stdout == "alive\n"


async def test_a_command_that_runs_when_all_are_killed_ends_as_killed(sandbox: Sandbox, mark: str) -> None:
    async with anyio.create_task_group() as group:

        async def run() -> None:
            result = await sandbox.exec(f"sleep {mark}")
            assert result.return_code == 137
            assert not result.timed_out

        group.start_soon(run)
        await until(lambda: with_argument(mark))
        await sandbox.kill_all()


async def test_a_fork_bomb_can_be_killed(sandbox: Sandbox, mark: str) -> None:
    await sandbox.exec(f"bomb() {{ bomb {mark} & bomb {mark} & }}; bomb & true")
    with anyio.fail_after(20):
        await sandbox.kill_all()
    assert with_argument(mark) == []
    assert (await sandbox.exec("echo alive")).stdout == "alive\n"


async def test_nothing_runs_after_a_sandbox_was_left(backend: Backend, spec: SandboxSpec, mark: str) -> None:
    async with backend.start(spec) as sandbox:
        for command in HIDING.values():
            await sandbox.exec(f"({command.replace('MARK', mark)}) > /dev/null 2>&1 & true")
        assert with_argument(mark)
    assert with_argument(mark) == []


async def test_a_cancelled_command_is_dead_and_the_sandbox_goes_on(sandbox: Sandbox, mark: str) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(sandbox.exec, f"setsid sleep {mark} & sleep {mark}")
        await until(lambda: len(with_argument(mark)) >= 2)
        group.cancel_scope.cancel()
    await until(lambda: with_argument(mark) == [])
    assert (await sandbox.exec("echo alive")).stdout == "alive\n"


async def test_a_sandbox_whose_user_is_cancelled_is_gone(backend: Backend, spec: SandboxSpec, mark: str) -> None:
    async with anyio.create_task_group() as group:

        async def use() -> None:
            async with backend.start(spec) as sandbox:
                await sandbox.exec(f"sleep {mark}")

        group.start_soon(use)
        await until(lambda: with_argument(mark))
        group.cancel_scope.cancel()
    assert with_argument(mark) == []


async def test_a_command_that_kills_everything_it_can_ends_as_killed_and_the_sandbox_goes_on(sandbox: Sandbox) -> None:
    with anyio.fail_after(10):
        result = await sandbox.exec("kill -KILL -1; sleep 1000")
    assert result.return_code == 137
    assert (await sandbox.exec("echo alive")).stdout == "alive\n"


async def test_a_command_that_stops_everything_it_can_is_dead_after_its_time(sandbox: Sandbox, mark: str) -> None:
    with anyio.fail_after(10):
        result = await sandbox.exec(f"sleep {mark} & kill -STOP $PPID; sleep {mark}", timeout_sec=0.3)
    assert result.timed_out
    assert with_argument(mark) == []


@pytest.mark.only_on("bubblewrap", "there is no process of ours between an engine and a command")
@pytest.mark.parametrize("limit", ["nofile=3:3", "nproc=1:1", "cpu=1:1", "fsize=0:0", "data=0:0"])
async def test_a_command_that_limits_everything_it_can_is_dead_after_its_time(
    sandbox: Sandbox, mark: str, limit: str
) -> None:
    limits = f"for process in $(seq 2 50); do prlimit --pid $process --{limit} 2> /dev/null; done"
    with anyio.fail_after(10):
        result = await sandbox.exec(f"sleep {mark} & {limits}; exec -a bash sleep {mark}", timeout_sec=0.5)
    assert result.return_code != 0
    assert with_argument(mark) == []
    assert (await sandbox.exec("echo alive")).stdout == "alive\n"


async def test_a_cancelled_command_takes_no_other_with_it(sandbox: Sandbox, mark: str) -> None:
    await sandbox.exec(f"sleep {mark} > /dev/null & true")
    async with anyio.create_task_group() as group:
        group.start_soon(sandbox.exec, f"sleep 1{mark}")
        await until(lambda: with_argument(f"1{mark}"))
        group.cancel_scope.cancel()
    await until(lambda: with_argument(f"1{mark}") == [])
    assert len(with_argument(mark)) == 1


async def test_a_sandbox_that_was_left_says_that_it_is_gone(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec) as sandbox:
        pass
    with pytest.raises(SandboxError, match="contract is lost"):
        await sandbox.exec("true")
    with pytest.raises(SandboxError, match="contract is lost"):
        await sandbox.get("/etc")
    with pytest.raises(SandboxError, match="contract is lost"):
        await sandbox.kill_all()
    with pytest.raises(SandboxError, match="contract is lost"):
        await sandbox.spawn(("true",))


async def test_no_limit_may_be_given_as_infinity(sandbox: Sandbox) -> None:
    assert (await sandbox.exec("echo 1", timeout_sec=math.inf)).stdout == "1\n"
