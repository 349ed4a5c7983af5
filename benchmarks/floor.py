"""What a suite cannot be cheaper than: the same sandboxes with the least that is done in each, and nothing else."""

from __future__ import annotations

import io
import sys
import tarfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import docker
from answer_tasks import make_tasks, numbered
from apart import Meter
from engine_calls import EngineCalls

from autoagent_mcp.config import Config, RunSettings, SandboxSettings
from autoagent_mcp.run import spec
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.sandbox.archive import Packer
from autoagent_mcp.sandbox.base import SandboxSpec
from autoagent_mcp.sandbox.docker import labels
from autoagent_mcp.workspace import Workspace


async def bubblewrap_floor(folder: Path, trials: int, concurrency: int) -> dict[str, Any]:
    """Start, two commands, stop: as often and as many side by side as the suite."""
    async with open_bench(Workspace(folder=folder), Config(run=RunSettings(backend="bubblewrap"))) as bench:
        task = make_tasks(folder / "tasks", numbered(1))[0]
        image = await bench.backend.prepare(task)
        slots = anyio.CapacityLimiter(concurrency)

        async def one(number: int) -> None:
            async with slots, bench.backend.start(SandboxSpec(name=f"floor-{number}", image=image)) as sandbox:
                await sandbox.exec("echo 42 > answer.txt")
                await sandbox.exec("cat answer.txt")

        meter = Meter()
        async with anyio.create_task_group() as group:
            for number in range(trials):
                group.start_soon(one, number)
        return meter.cost(trials)


async def docker_floor(folder: Path, trials: int, concurrency: int) -> dict[str, Any]:
    """The bare docker package: create, start, two archives in, two execs, one archive out, remove."""
    task = make_tasks(folder / "tasks", numbered(1))[0]
    settings = Config(run=RunSettings(backend="docker"))
    async with open_bench(Workspace(folder=folder), settings) as bench, bench.backend.in_use():
        image = await bench.backend.prepare(task)
        client: Any = docker.from_env(max_pool_size=max(10, concurrency)).api
        name = f"floor-{uuid.uuid4().hex}"
        async with bench.backend.start(spec.of_agent(task, image, SandboxSettings(), name)):
            options = await anyio.to_thread.run_sync(_made_with, client, name)
        return await anyio.to_thread.run_sync(_bare, client, options, task.folder, trials, concurrency)


def _made_with(client: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - docker.APIClient
    """Return what the suite's own sandboxes are made with, as the engine tells it."""
    (found,) = client.containers(filters={"label": f"{labels.NAME}={name}"})
    facts = client.inspect_container(found["Id"])
    return {**facts["Config"], "HostConfig": facts["HostConfig"]}


def _bare(client: Any, options: dict[str, Any], task: Path, trials: int, concurrency: int) -> dict[str, Any]:  # noqa: ANN401
    calls = EngineCalls()
    calls.watch()
    meter = Meter()
    with ThreadPoolExecutor(concurrency) as threads:
        made = [threads.submit(_one_container, client, options, task) for _ in range(trials)]
    rewards = {one.result() for one in made}
    if rewards != {b"1\n"}:
        sys.exit(f"The floor's containers gave {rewards}: the figures mean nothing.")
    return {**meter.cost(trials), "calls": calls.per_trial(trials)}


def _one_container(client: Any, options: dict[str, Any], task: Path) -> bytes:  # noqa: ANN401 - docker.APIClient
    solution, tests = Packer(), Packer()
    for place in ("logs", "logs/agent", "logs/verifier", "logs/artifacts"):
        solution.add_folder(place, 0o777)
    solution.add_tree(task / "solution", "solution", executable={"solution/solve.sh"})
    tests.add_tree(task / "tests", "tests", executable={"tests/test.sh"})
    made = client.create_container_from_config(options)["Id"]
    try:
        client.start(made)
        client.put_archive(made, "/", solution.data())
        _run(client, made, "/solution/solve.sh")
        client.put_archive(made, "/", tests.data())
        _run(client, made, "/tests/test.sh")
        parts, _ = client.get_archive(made, "/logs/verifier")
        with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as archive:
            reward = archive.extractfile("verifier/reward.txt")
            return reward.read() if reward else b""
    finally:
        client.remove_container(made, force=True, v=True)


def _run(client: Any, made: str, command: str) -> None:  # noqa: ANN401 - docker.APIClient
    command_id = client.exec_create(made, ["bash", "-c", command])["Id"]
    client.exec_start(command_id, demux=True)
    if client.exec_inspect(command_id)["ExitCode"] != 0:
        sys.exit(f"{command} failed in a container of the floor.")
