"""How a trial of a harness ends, whatever the harness does."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from support.harnesses import agent, processes, trials

from autoagent_mcp.errors import HarnessError
from autoagent_mcp.harness.process import HarnessEnd
from autoagent_mcp.sandbox.base import Backend


async def test_what_run_task_returns_is_told_and_what_it_prints_is_kept(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import sys
        result = await environment.exec("ls", cwd="/task", env={"A": "b"}, timeout_sec=5, user="root")
        print("printed", instruction)
        print("warned", file=sys.stderr)
        return f"{result.stdout}|{result.stderr}|{result.return_code}"
    """)
    async with trials(files, tmp_path, backend) as harness:
        assert await harness.run("count") == HarnessEnd(how="returned", detail="did ls||0")
        asked = {"command": "ls", "cwd": "/task", "env": {"A": "b"}, "timeout_sec": 5, "user": "root"}
        assert harness.gateway.calls == [("/environment/exec", "Bearer token-of-trial", asked)]
        assert harness.log() == "printed count\nwarned\n"


async def test_what_the_task_offers_is_shown_to_run_task(tmp_path: Path, backend: Backend) -> None:
    files = agent("return repr((environment.skills_dir, [tuple(one) for one in environment.mcp_servers]))")
    server: dict[str, object] = {
        "name": "a",
        "transport": "sse",
        "url": "http://a",
        "command": None,
        "args": [],
        "headers": {"b": "c"},
    }
    async with trials(files, tmp_path, backend) as harness:
        end = await harness.run(offers={"skills_dir": "/skills", "mcp_servers": [server]})
        assert ast.literal_eval(end.detail) == ("/skills", [tuple(server.values())])
        assert (await harness.run(trial="without")).detail == "(None, [])"


async def test_a_command_out_of_time_raises_as_under_harbor(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        try:
            await environment.exec("sleep", timeout_sec=7)
        except RuntimeError as error:
            return str(error)
    """)
    async with trials(files, tmp_path, backend) as harness:
        assert (await harness.run()).detail == "Command timed out after 7 seconds"


async def test_the_environment_tells_files_and_carries_them(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import pathlib, tarfile, io
        pathlib.Path("/tmp/a.txt").write_text("x")
        await environment.upload_file("/tmp/a.txt", "/task/deep/b.txt")
        await environment.upload_dir("/tmp", "/task")
        try:
            await environment.download_file("/task/none", "/tmp/none")
        except FileNotFoundError as error:
            return str((await environment.is_file("/task/a b"), await environment.is_dir("/task")))
    """)
    async with trials(files, tmp_path, backend) as harness:
        assert (await harness.run()).detail == "(True, True)"
        assert harness.gateway.said() == ["test -f '/task/a b'", "test -d /task"]
        assert [path for path, _, _ in harness.gateway.calls[:2]] == ["/environment/upload"] * 2


@pytest.mark.parametrize(
    ("body", "how", "detail"),
    [
        ("raise ValueError('no idea')", "raised", "ValueError: no idea"),
        ("raise SystemExit(3)", "raised", "SystemExit: 3"),
        ("import os; os._exit(3)", "crashed", "its process ended by itself (exit status 3)"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "crashed",
            "its process ended by itself (signal 9)",
        ),
        ("import ctypes; ctypes.string_at(0)", "crashed", "its process ended by itself (signal 11)"),
        ("x = bytearray(3 << 30)", "raised", "MemoryError"),
    ],
)
async def test_a_harness_that_breaks_is_told_apart(
    body: str, how: str, detail: str, tmp_path: Path, backend: Backend
) -> None:
    async with trials(agent(body), tmp_path, backend) as harness:
        assert await harness.run() == HarnessEnd.model_validate({"how": how, "detail": detail})


async def test_the_traceback_is_in_the_log(tmp_path: Path, backend: Backend) -> None:
    async with trials(agent("raise ValueError('no idea')"), tmp_path, backend) as harness:
        await harness.run()
        assert 'agent.py", line 3, in run_task' in harness.log()


@pytest.mark.parametrize(
    "body",
    [
        "import asyncio; await asyncio.Event().wait()",
        "while True: pass",
        "import time; time.sleep(1000)",
        (
            "import signal, time\nfor number in range(1, 32):\n    try: signal.signal(number, signal.SIG_IGN)\n"
            "    except OSError: pass\ntime.sleep(1000)"
        ),
    ],
    ids=["never returns", "spins", "blocks", "ignores signals"],
)
async def test_a_harness_out_of_time_is_killed(body: str, tmp_path: Path, backend: Backend) -> None:
    async with trials(agent(body), tmp_path, backend) as harness:
        end = await harness.run(timeout_sec=0.5)
        assert end == HarnessEnd(how="timeout", detail="run_task did not return within 0.5 s.")


async def test_a_fork_bomb_ends_with_its_trial_and_leaves_room_for_a_sibling(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import os
        if instruction == "bomb":
            await environment.exec("armed")
            while True:
                try:
                    os.fork()
                except OSError:
                    pass
        return str((await environment.exec("ls")).return_code)
    """)
    async with trials(files, tmp_path, backend) as harness, anyio.create_task_group() as group:
        group.start_soon(lambda: harness.run("bomb", trial="bomb", timeout_sec=5))
        await anyio.to_thread.run_sync(harness.gateway.wait_for, "armed")
        assert await harness.run(trial="sibling") == HarnessEnd(how="returned", detail="0")


async def test_a_trial_has_a_share_of_the_processes(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import os, time
        for number in range(1000):
            try:
                if os.fork() == 0:
                    time.sleep(1000)
            except OSError:
                return str(number)
    """)
    async with trials(files, tmp_path, backend) as harness:
        assert 200 < int((await harness.run()).detail) < 256


async def test_a_gigabyte_of_output_costs_a_megabyte_of_log(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import os
        os.write(1, b"begin\\n")
        block = b"x" * (1 << 20)
        for _ in range(1024):
            os.write(1, block)
        os.write(1, b"\\nend\\n")
    """)
    async with trials(files, tmp_path, backend) as harness:
        assert (await harness.run(timeout_sec=60)).how == "returned"
        log = harness.log()
        assert log.startswith("begin\n")
        assert log.endswith("\nend\n")
        assert "bytes cut here" in log
        assert len(log) < 1_001_000


async def test_killing_its_parent_harms_no_sibling(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import os, signal
        if instruction == "kill":
            for pid in (os.getppid(), 1, -1, 0):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            return "alive"
        await environment.exec("hold")
        return "done"
    """)
    ends: list[HarnessEnd] = []
    async with trials(files, tmp_path, backend) as harness, anyio.create_task_group() as group:

        async def sibling() -> None:
            ends.append(await harness.run(trial="sibling"))

        group.start_soon(sibling)
        await anyio.to_thread.run_sync(harness.gateway.wait_for, "hold")
        assert (await harness.run("kill", trial="kill")).how == "crashed"
        harness.gateway.release.set()
    assert ends == [HarnessEnd(how="returned", detail="done")]


async def test_a_cancelled_trial_is_dead_when_the_cancellation_arrives(tmp_path: Path, backend: Backend) -> None:
    files = agent("await environment.exec('hold')")
    async with trials(files, tmp_path, backend) as harness:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(harness.run)
                await anyio.to_thread.run_sync(harness.gateway.wait_for, "hold")
                scope.cancel()
        harness.gateway.release.set()
        assert (await harness.run(trial="next")).how == "returned"


async def test_thirty_two_trials_at_once_end_each_with_its_own_answer(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import asyncio
        results = await asyncio.gather(*(environment.exec(f"{instruction}-{n}") for n in range(4)))
        await environment.exec("hold")
        return " ".join(result.stdout for result in results)
    """)
    ends: dict[int, HarnessEnd] = {}
    async with trials(files, tmp_path, backend) as harness:

        async def run(number: int) -> None:
            ends[number] = await harness.run(f"t{number}", trial=str(number), timeout_sec=50)

        async with anyio.create_task_group() as group:
            for number in range(32):
                group.start_soon(run, number)
            await anyio.to_thread.run_sync(harness.gateway.wait_for, "hold", 32, 40.0)
            harness.gateway.release.set()
        tokens = {token for _, token, _ in harness.gateway.calls}
    assert tokens == {f"Bearer token-of-{number}" for number in range(32)}
    for number in range(32):
        assert ends[number].detail == " ".join(f"did t{number}-{n}" for n in range(4))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"def (", "SyntaxError"),
        (b"import nothing_like_this", "No module named 'nothing_like_this'"),
        (b"raise SystemExit('no')", "SystemExit: no"),
        (b"import os; os._exit(0)", "It ended the process that imported it."),
        (b"print('x' * (1 << 20) * 100); raise ValueError('loud')", "ValueError: loud"),
        (
            b"import os, signal; os.kill(os.getpid(), signal.SIGSEGV); import ctypes; ctypes.string_at(0)",
            "It ended the",
        ),
        (b"x = 1", "run_task"),
    ],
    ids=["syntax", "missing", "exit", "_exit", "loud", "segfault", "empty"],
)
async def test_an_agent_that_cannot_be_imported_is_refused_with_the_reason(
    source: bytes, problem: str, tmp_path: Path, backend: Backend
) -> None:
    with pytest.raises(HarnessError, match="cannot be imported") as caught:
        async with trials({"agent.py": source}, tmp_path, backend):
            pass
    assert problem in caught.value.problem


@pytest.mark.parametrize(
    "source",
    [
        "import time; time.sleep(1000)",
        "while True: pass",
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    ],
    ids=["sleeps", "spins", "forks"],
)
async def test_an_import_without_end_is_cut_off_and_leaves_nothing(
    source: str, tmp_path: Path, backend: Backend
) -> None:
    marker = f"76543{os.getpid()}"
    prelude = f"import subprocess\nsubprocess.Popen(['sleep', '{marker}'])\n"
    with pytest.raises(HarnessError, match="still being imported after 2 s"):
        async with trials({"agent.py": (prelude + source).encode()}, tmp_path, backend, import_timeout_sec=2):
            pass
    assert processes(marker) == []


async def test_a_client_made_at_import_is_told_where_to_be_made(tmp_path: Path, backend: Backend) -> None:
    source = b"import os\nkey = os.environ['OPENAI_API_KEY']"
    with pytest.raises(HarnessError, match="Make clients in run_task"):
        async with trials({"agent.py": source}, tmp_path, backend):
            pass


async def test_a_missing_agent_is_refused_with_the_reason(tmp_path: Path, backend: Backend) -> None:
    with pytest.raises(HarnessError, match="No module named 'agent'"):
        async with trials({".agent/prompt.md": b"x"}, tmp_path, backend):
            pass


async def test_what_the_harness_keeps_beside_it_is_there(tmp_path: Path, backend: Backend) -> None:
    files = agent(
        "return helper.WORD + open('.agent/prompt.md').read()",
        top="""
        import sys; sys.path.insert(0, ".agent")
        import helper
    """,
    )
    async with trials(
        files | {".agent/helper.py": b"WORD = 'a'", ".agent/prompt.md": b"b"}, tmp_path, backend
    ) as harness:
        assert (await harness.run()).detail == "ab"
