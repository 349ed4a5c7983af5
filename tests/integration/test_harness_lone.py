"""A harness without namespaces of its own: in a sandbox for each trial, or in the task's."""

from __future__ import annotations

import ast
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from support.harnesses import HARNESS_BASE, Trials, WithoutNamespaces, agent, processes, trials, trials_inside

from autoagent_mcp.errors import HarnessError, SandboxRefused
from autoagent_mcp.harness.process import HarnessEnd
from autoagent_mcp.sandbox.base import Backend

Start = Callable[[dict[str, bytes]], AbstractAsyncContextManager[Trials]]


@pytest.fixture(params=["own", "task"])
def start(request: pytest.FixtureRequest, tmp_path: Path, backend: Backend) -> Start:
    """Return what starts a harness in each of the two places."""

    @asynccontextmanager
    async def started(files: dict[str, bytes]) -> AsyncGenerator[Trials]:
        if request.param == "own":
            async with trials(files, tmp_path, WithoutNamespaces(backend)) as harness:
                yield harness
        else:
            async with trials_inside(files, tmp_path, backend, HARNESS_BASE) as (harness, _):
                yield harness

    return started


async def test_what_run_task_returns_is_told_and_what_it_prints_is_kept(start: Start) -> None:
    files = agent(
        """
        result = await environment.exec("ls", cwd="/task")
        print("printed", instruction)
        return f"{result.stdout} {environment.skills_dir}"
    """,
        top="print('imported')",
    )
    async with start(files) as harness:
        assert await harness.run("count", offers={"skills_dir": "/s"}) == HarnessEnd(how="returned", detail="did ls /s")
        assert harness.log() == "imported\nprinted count\n"
        assert (await harness.run("again", trial="second")).detail == "did ls None"
    assert {token for _, token, _ in harness.gateway.calls} == {"Bearer token-of-trial", "Bearer token-of-second"}


@pytest.mark.parametrize(
    ("body", "how", "detail"),
    [
        ("raise ValueError('no idea')", "raised", "ValueError: no idea"),
        ("import os; os._exit(3)", "crashed", "its process ended by itself (exit status 3)"),
        (
            "import os, subprocess, signal\nsubprocess.Popen(['sleep', '100'])\nos.kill(os.getpid(), signal.SIGKILL)",
            "crashed",
            "its process ended by itself (signal 9)",
        ),
        ("import os, signal; os.kill(os.getppid(), signal.SIGKILL); signal.pause()", "crashed", "harness host ended"),
        (
            "import os\nfor fd in range(3, 64):\n try: os.write(fd, b'x\\n')\n except OSError: pass\nwhile 1: 0",
            "crashed",
            "it wrote to the channel that tells its end",
        ),
    ],
    ids=["raises", "exits", "is killed, its child not", "kills its host", "garbage"],
)
async def test_a_harness_that_breaks_is_told_apart(body: str, how: str, detail: str, start: Start) -> None:
    async with start(agent(body)) as harness:
        end = await harness.run()
        assert end.how == how
        assert detail in end.detail


async def test_one_out_of_time_is_dead_with_all_that_it_started(start: Start) -> None:
    marker = f"76543{os.getpid()}"
    body = f"""
        import subprocess, time
        subprocess.Popen(["sleep", "{marker}"], start_new_session=True)
        time.sleep(1000)
    """
    async with start(agent(body)) as harness:
        end = await harness.run(timeout_sec=1)
        assert end == HarnessEnd(how="timeout", detail="run_task did not return within 1 s.")
        assert processes(marker) == []


async def test_a_flood_into_the_gateway_ends_with_its_time(start: Start) -> None:
    files = agent("""
        import os, socket, urllib.parse
        port = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"]).port
        with socket.create_connection(("127.0.0.1", port)) as flood:
            flood.sendall(b"POST /stall HTTP/1.1\\r\\nContent-Length: 1000000000\\r\\n\\r\\n")
            while True:
                flood.sendall(bytes(1 << 20))
    """)
    async with start(files) as harness:
        assert (await harness.run(timeout_sec=2)).how == "timeout"


async def test_large_bodies_come_through(start: Start) -> None:
    files = agent("""
        import os, urllib.request
        base = os.environ["OPENAI_BASE_URL"].removesuffix("/openai/v1")
        return str(len(urllib.request.urlopen(base + "/big").read()))
    """)
    async with start(files) as harness:
        assert (await harness.run()).detail == "20000000"


async def test_no_namespaces_are_said_on_the_run(tmp_path: Path, backend: Backend) -> None:
    async with trials(agent("return 'done'"), tmp_path, WithoutNamespaces(backend)) as harness:
        (notice,) = harness.harness.notices
        assert "refused" in notice
        assert "a harness sandbox of its own" in notice


async def test_trials_side_by_side_do_not_see_each_other(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import os
        if instruction == "hold":
            open("/tmp/secret", "w").write("s")
            await environment.exec("hold")
        return repr((os.path.exists("/tmp/secret"), sorted(os.listdir("/proc"))[:1]))
    """)
    ends: list[HarnessEnd] = []
    async with trials(files, tmp_path, WithoutNamespaces(backend)) as harness, anyio.create_task_group() as group:
        group.start_soon(lambda: harness.run("hold", trial="holder"))
        await anyio.to_thread.run_sync(harness.gateway.wait_for, "hold")
        ends.append(await harness.run("look", trial="looker"))
        harness.gateway.release.set()
    assert ast.literal_eval(ends[0].detail)[0] is False


async def test_an_agent_that_cannot_be_imported_is_told_before_any_trial(tmp_path: Path, backend: Backend) -> None:
    with pytest.raises(HarnessError, match=r"cannot be imported: .ZeroDivisionError"):
        async with trials(agent("return", top="1 / 0"), tmp_path, WithoutNamespaces(backend)):
            pass


@pytest.mark.parametrize(
    ("top", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import os; os._exit(7)", "exit status 7"),
        ("import os, signal; os.kill(os.getppid(), signal.SIGKILL); signal.pause()", "did not get to its task"),
    ],
    ids=["raises", "exits", "kills its host"],
)
async def test_an_import_that_fails_in_the_tasks_sandbox_is_the_harnesss_failure(
    top: str, reason: str, tmp_path: Path, backend: Backend
) -> None:
    async with trials_inside(agent("return", top=top), tmp_path, backend, HARNESS_BASE) as (harness, _):
        end = await harness.run()
        assert end.how == "crashed"
        assert reason in end.detail


async def test_inside_the_task_it_works_on_the_tasks_files(tmp_path: Path, backend: Backend) -> None:
    files = agent("""
        import os, pathlib
        pathlib.Path("made.txt").write_text(pathlib.Path("given.txt").read_text().upper())
        return os.getcwd()
    """)
    files[".agent/note.txt"] = b"kept beside"
    async with trials_inside(files, tmp_path, backend, HARNESS_BASE) as (harness, sandbox):
        await sandbox.exec("echo words > given.txt")
        assert await harness.run() == HarnessEnd(how="returned", detail="/srv")
        assert (await sandbox.exec("cat made.txt")).stdout == "WORDS\n"


@pytest.mark.only_on("docker", "a bubblewrap sandbox has one user")
async def test_inside_the_task_it_is_the_tasks_user(tmp_path: Path, backend: Backend) -> None:
    files = agent("import os; return repr((os.getuid(), os.getgid(), os.environ['HOME'], os.getgroups()))")
    async with trials_inside(files, tmp_path, backend, HARNESS_BASE, user="nobody") as (harness, _):
        assert (await harness.run()).detail == "(65534, 65534, '/nonexistent', [65534])"


@pytest.mark.only_on("docker", "a bubblewrap sandbox has one user")
async def test_a_user_that_is_not_there_is_named(tmp_path: Path, backend: Backend) -> None:
    async with trials_inside(agent("return"), tmp_path, backend, HARNESS_BASE, user="mallory") as (harness, _):
        assert "to be the user mallory" in (await harness.run()).detail


@pytest.mark.only_on("docker", "a bubblewrap sandbox shows the server's Python")
async def test_an_image_without_a_python_is_refused_by_name_until_the_harness_was_there(
    tmp_path: Path, backend: Backend
) -> None:
    async with trials_inside(agent("return"), tmp_path, backend, "debian:bookworm-slim") as (harness, _):
        with pytest.raises(SandboxRefused, match=r"Python 3\.10 or newer"):
            await harness.run()
    async with trials_inside(agent("return"), tmp_path, backend, HARNESS_BASE) as (harness, sandbox):
        assert (await harness.run()).how == "returned"
        await sandbox.exec("rm -f /usr/bin/python*")
        assert (await harness.run(trial="later")).how == "crashed"
