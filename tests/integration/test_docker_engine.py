"""An engine that is elsewhere, goes away, or is shared: nothing is lost, nothing leaks, nothing else is touched."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import docker
import pytest
from support.engines import BASE, left, over_ssh, over_tcp, private_engine, why_no_private_engine, why_no_ssh
from support.processes import until, with_argument
from support.workspaces import write_tree

from autoagent_mcp import task as task_files
from autoagent_mcp.config import Config, RunSettings
from autoagent_mcp.errors import SandboxError, SetupError
from autoagent_mcp.models.run import Progress, Run, RunKind
from autoagent_mcp.run.bench import Bench, open_bench
from autoagent_mcp.run.run import RunRequest, measure
from autoagent_mcp.run.suite import build_suite
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Image, SandboxSpec
from autoagent_mcp.sandbox.docker.backend import DockerBackend, open_backend
from autoagent_mcp.sandbox.docker.engine import Client
from autoagent_mcp.workspace import Workspace

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]
AWAY = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # the docker package leaves sockets that do not connect to the GC
)

TASK = {
    "task.toml": f'[environment]\ndocker_image = "{BASE}"\nworkdir = "/app"\nnetwork_mode = "no-network"\n',
    "instruction.md": "Write 42 to answer.txt.\n",
    "solution/solve.sh": "#!/bin/bash\necho 42 > answer.txt\n",
    "tests/test.sh": '#!/bin/bash\nr=0\n[ "$(cat answer.txt)" = 42 ] && r=1\necho $r > /logs/verifier/reward.txt\n',
}


@pytest.fixture
def workspace_id() -> str:
    return uuid.uuid4().hex[:12]


@pytest.fixture(autouse=True)
def collected() -> Generator[None]:
    """What the docker package and paramiko leave open when an engine goes away is not laid to the next test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@asynccontextmanager
async def opened(workspace_id: str, folder: Path) -> AsyncGenerator[DockerBackend]:
    async with open_backend(workspace_id, cache=folder / "cache", state=folder / "state", harness_base=BASE) as backend:
        yield backend


def spec(**more: object) -> SandboxSpec:
    return SandboxSpec.model_validate({"name": "engine", "image": Image(id=BASE, base=BASE), **more})


def ignore(_: Progress) -> None:
    """Nobody waits for progress here."""


def suite(bench: Bench, folder: Path, tasks: Mapping[str, Mapping[str, str]], candidate: str = "oracle") -> RunRequest:
    for name, files in tasks.items():
        write_tree(folder / "tasks" / name, files)
    found, _ = task_files.load_all(folder / "tasks")
    able, what = build_suite(found, (), attempts=1, config=bench.config, backend=bench.backend)
    return RunRequest(
        id="0001", kind=RunKind.SUITE, description="", candidate=candidate, harnesses={}, tasks=able, suite=what
    )


# Nothing is left


async def test_after_a_run_nothing_is_left(workspace_id: str, tmp_path: Path) -> None:
    settings = Config(run=RunSettings(backend="docker"))
    public = {**TASK, "task.toml": TASK["task.toml"].replace("no-network", "public")}
    async with open_bench(Workspace(folder=tmp_path), settings, workspace_id=workspace_id) as bench:
        run = await measure(suite(bench, tmp_path, {"a": TASK, "b": public}), bench, ignore)
        assert [trial.reward for trial in run.trials] == [1.0, 1.0]
        assert left(workspace_id) == []


async def test_after_a_cancelled_run_nothing_is_left(workspace_id: str, tmp_path: Path) -> None:
    mark = f"1{uuid.uuid4().int % 10**12}"
    settings = Config(run=RunSettings(backend="docker"))
    slow = {**TASK, "solution/solve.sh": f"#!/bin/bash\nsetsid sleep {mark}\n"}
    async with open_bench(Workspace(folder=tmp_path), settings, workspace_id=workspace_id) as bench:
        request = suite(bench, tmp_path, {"a": slow, "b": slow})
        async with anyio.create_task_group() as group:
            group.start_soon(measure, request, bench, ignore)
            await until(lambda: len(with_argument(mark)) >= 2)
            assert left(workspace_id)
            group.cancel_scope.cancel()
    assert left(workspace_id) == []
    assert with_argument(mark) == []


KILLED = """
import sys, anyio
from pathlib import Path
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Image, SandboxSpec
from autoagent_mcp.sandbox.docker.backend import open_backend

async def main():
    workspace, folder, base = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    async with open_backend(workspace, cache=folder / "cache", state=folder / "state", harness_base=base) as backend:
        spec = SandboxSpec(name="killed", image=Image(id=base, base=base), network="public", can_use_network=True)
        async with backend.start(spec) as sandbox:
            await sandbox.exec("true")
            print("ready", flush=True)
            await anyio.sleep_forever()

anyio.run(main)
"""


def server(workspace_id: str, folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", KILLED, workspace_id, str(folder), BASE]
    started = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


async def test_what_a_killed_server_left_is_removed_by_the_next_and_nothing_else(
    workspace_id: str, tmp_path: Path
) -> None:
    other = uuid.uuid4().hex[:12]
    killed, foreign, alive = server(workspace_id, tmp_path), server(other, tmp_path), server(workspace_id, tmp_path)
    try:
        killed.kill()
        foreign.kill()
        killed.wait()
        foreign.wait()
        assert len(left(workspace_id)) == 4
        async with opened(workspace_id, tmp_path) as backend:
            assert await backend.remove_leftovers(workspace_id) == 2
            assert await backend.remove_leftovers(workspace_id) == 0
            assert len(left(workspace_id)) == 2, "another live server's sandbox is not touched"
            assert len(left(other)) == 2, "another workspace's sandbox is not touched"
            await backend.remove_leftovers(other)
    finally:
        for each in (killed, foreign, alive):
            each.kill()
            each.wait()
            if each.stdout is not None:
                each.stdout.close()
        async with opened(workspace_id, tmp_path) as backend:
            await backend.remove_leftovers(workspace_id)
    assert left(workspace_id) + left(other) == []


@AWAY
@pytest.mark.skipif(bool(why_no_private_engine()), reason=why_no_private_engine())
def test_clean_removes_what_killed_servers_left_once_it_is_old(
    workspace_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "autoagent-mcp").symlink_to(tmp_path / "state")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    with private_engine() as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.url)
        killed, alive = server(workspace_id, tmp_path), server(workspace_id, tmp_path)
        try:
            killed.kill()
            killed.wait()
            for words, count in (("7d",), 4), (("0d", "--dry-run"), 4), (("0d",), 2), (("0d",), 2):
                clean = [sys.executable, "-m", "autoagent_mcp", "clean", "--older-than", *words]
                subprocess.run(clean, check=True, capture_output=True)
                assert len(left(workspace_id)) == count
        finally:
            for each in (killed, alive):
                each.kill()
                each.wait()
                if each.stdout is not None:
                    each.stdout.close()


async def test_another_installations_sandboxes_are_not_touched(workspace_id: str, tmp_path: Path) -> None:
    killed = server(workspace_id, tmp_path / "theirs")
    killed.kill()
    killed.wait()
    if killed.stdout is not None:
        killed.stdout.close()
    async with opened(workspace_id, tmp_path / "ours") as backend:
        assert await backend.remove_leftovers(workspace_id) == 0
    async with opened(workspace_id, tmp_path / "theirs") as backend:
        assert await backend.remove_leftovers(workspace_id) == 2


# Networks


async def test_sandboxes_share_one_network_that_keeps_them_apart(workspace_id: str, tmp_path: Path) -> None:
    serve = "python3 -m http.server 8000 > /dev/null 2>&1 & until echo > /dev/tcp/127.0.0.1/8000; do :; done"
    public = spec(network="public", can_use_network=True)
    async with (
        opened(workspace_id, tmp_path) as backend,
        backend.start(public) as first,
        backend.start(public) as second,
    ):
        assert len([one for one in left(workspace_id) if one.startswith("network")]) == 1
        address = (await first.exec("hostname -i")).stdout.strip()
        await first.exec(f"{serve} 2> /dev/null")
        reached = await second.exec(f"timeout 2 bash -c 'echo > /dev/tcp/{address}/8000'")
        assert reached.return_code != 0
    assert left(workspace_id) == []


async def test_a_network_is_given_and_taken_away_while_a_sandbox_runs(workspace_id: str, tmp_path: Path) -> None:
    interfaces = "ls /sys/class/net"
    async with opened(workspace_id, tmp_path) as backend, backend.start(spec(can_use_network=True)) as sandbox:
        assert (await sandbox.exec(interfaces)).stdout == "lo\n"
        await sandbox.use_network("public")
        assert "eth" in (await sandbox.exec(interfaces)).stdout
        await sandbox.use_network("none")
        assert (await sandbox.exec(interfaces)).stdout == "lo\n"


# An engine elsewhere, or away


async def serves_as_the_local_one(workspace_id: str, folder: Path) -> None:
    async with opened(workspace_id, folder) as backend, backend.start(spec()) as sandbox:
        result = await sandbox.exec("echo out; echo err >&2; exit 3")
        assert (result.stdout, result.stderr, result.return_code) == ("out\n", "err\n", 3)
        assert (await sandbox.exec("sleep 1000", timeout_sec=0.5)).timed_out
        process = await sandbox.spawn(("cat",))
        await process.stdin.send(b"far")
        assert await process.stdout.receive() == b"far"
        await process.stdin.aclose()
        assert await process.wait() == 0
        await sandbox.put(archive.pack_files({"a": b"1"}), "/data")
        assert await sandbox.get("/data")


async def test_an_engine_over_tcp_serves_as_the_local_one(
    workspace_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with over_tcp() as way:
        monkeypatch.setenv("DOCKER_HOST", way.url)
        await serves_as_the_local_one(workspace_id, tmp_path)


@pytest.mark.skipif(bool(why_no_ssh()), reason=why_no_ssh())
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paramiko's own sockets
async def test_an_engine_over_ssh_serves_as_the_local_one(
    workspace_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with over_ssh(tmp_path) as url:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("DOCKER_HOST", url)
        await serves_as_the_local_one(workspace_id, tmp_path)


async def test_a_container_is_started_again_once_for_all_commands_that_died_with_it(
    workspace_id: str, tmp_path: Path
) -> None:
    client: Client = docker.from_env()
    mark, begun = f"1{uuid.uuid4().int % 10**12}", int(time.time())
    statuses: list[int] = []
    async with opened(workspace_id, tmp_path) as backend, backend.start(spec()) as sandbox:

        async def sleep() -> None:
            statuses.append((await sandbox.exec(f"sleep {mark}")).return_code)

        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(sleep)
            await until(lambda: len(with_argument(mark)) >= 2 * 6)
            statuses.append((await sandbox.exec("kill -KILL -1; sleep 1000")).return_code)
        assert (await sandbox.exec("echo alive")).stdout == "alive\n"
        died = {"event": "die", "label": f"autoagent-mcp.workspace={workspace_id}"}
        ends = client.events(since=begun, until=int(time.time()) + 1, filters=died, decode=True)
        assert len(await anyio.to_thread.run_sync(list, ends)) == 1
    client.close()
    assert statuses == [137] * 7


async def test_what_died_with_its_container_is_dead_though_the_engine_never_tells(
    workspace_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with over_tcp() as way:
        monkeypatch.setenv("DOCKER_HOST", way.url)
        async with opened(workspace_id, tmp_path) as backend, backend.start(spec()) as sandbox:
            way.tells_ends = False
            process = await sandbox.spawn(("cat",))
            with anyio.fail_after(20):
                result = await sandbox.exec("echo before; kill -KILL -1; sleep 1000")
                assert await process.wait() == 137
            way.tells_ends = True
            assert (result.stdout, result.return_code, result.timed_out) == ("before\n", 137, False)
            assert (await sandbox.exec("echo alive")).stdout == "alive\n"


@AWAY
async def test_no_engine_is_told_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    async with opened("none", tmp_path) as backend:
        assert await backend.remove_leftovers("none") == 0
        with pytest.raises(SetupError, match="No Docker engine answers"):
            await backend.check()


@AWAY
@pytest.mark.skipif(bool(why_no_private_engine()), reason=why_no_private_engine())
async def test_trials_whose_engine_goes_away_are_tried_again_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace_id: str
) -> None:
    mark = f"1{uuid.uuid4().int % 10**12}"
    with private_engine() as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.url)
        solve = f'#!/bin/bash\n[ -n "$AGAIN" ] || sleep {mark}\necho 42 > answer.txt\n'
        slow = {
            **TASK,
            "task.toml": TASK["task.toml"] + '[solution]\nenv = { AGAIN = "${AUTOAGENT_TEST_AGAIN:-}" }\n',
            "solution/solve.sh": solve,
        }
        settings = Config(run=RunSettings(backend="docker"))
        runs: list[Run] = []
        async with open_bench(Workspace(folder=tmp_path), settings, workspace_id=workspace_id) as bench:
            request = suite(bench, tmp_path, {"a": slow, "b": slow})

            async def go() -> None:
                runs.append(await measure(request, bench, ignore))

            async with anyio.create_task_group() as group:
                group.start_soon(go)
                await until(lambda: len(with_argument(mark)) >= 2)
                monkeypatch.setenv("AUTOAGENT_TEST_AGAIN", "yes")
                await anyio.to_thread.run_sync(engine.stop)
                await anyio.to_thread.run_sync(engine.start)
        assert [trial.reward for trial in runs[0].trials] == [1.0, 1.0]
        assert all(trial.retried is not None for trial in runs[0].trials)
        assert left(workspace_id) == []


@AWAY
async def test_a_sandbox_of_an_engine_that_went_away_says_so(
    workspace_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with over_tcp() as way:
        monkeypatch.setenv("DOCKER_HOST", way.url)
        with anyio.CancelScope(shield=True):
            async with opened(workspace_id, tmp_path) as backend, backend.start(spec()) as sandbox:
                assert (await sandbox.exec("true")).return_code == 0
                way.cut()
                with pytest.raises(SandboxError, match="is lost"):
                    await sandbox.exec("true")
    monkeypatch.delenv("DOCKER_HOST")
    async with opened(workspace_id, tmp_path) as again:
        assert await again.remove_leftovers(workspace_id) == 1
    assert left(workspace_id) == []
