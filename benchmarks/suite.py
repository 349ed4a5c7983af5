"""What a suite costs beside the sandboxes themselves.

uv run python benchmarks/suite.py --backend bubblewrap [--trials 200] [--concurrency 8] [--live 512] [--json]

Three things, each in a process of its own so that its CPU and memory are its own:

* floor: start a sandbox, run two commands, stop it, and nothing else; the given number side by side.
* suite: the same number of oracle trials through `run.measure`: sandbox, solution, verifier, reward, trace, files.
* live: that many trials at once, all waiting for their model; a stub answers when the last of them has called.

Floor and suite alternate, so that a noisy machine disturbs both; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
from waiting_model import HARNESS, waiting_model

from autoagent_mcp import task as task_files
from autoagent_mcp.config import Config, ModelSettings, RunSettings
from autoagent_mcp.models.run import RunKind
from autoagent_mcp.models.task import Task
from autoagent_mcp.run.bench import Bench, open_bench
from autoagent_mcp.run.run import RunRequest, build_suite, measure
from autoagent_mcp.run.score import score
from autoagent_mcp.sandbox.base import SandboxSpec
from autoagent_mcp.workspace import Workspace

TASKS = 20
ROUNDS = 3


async def floor(folder: Path, trials: int, concurrency: int) -> dict[str, Any]:
    """Start, two commands, stop: as often and as many side by side as the suite."""
    async with open_bench(Workspace(folder=folder), Config()) as bench:
        task = _make_tasks(folder / "tasks", 1)[0]
        image = await bench.backend.prepare(task)
        slots = anyio.CapacityLimiter(concurrency)

        async def one(number: int) -> None:
            async with slots, bench.backend.start(SandboxSpec(name=f"floor-{number}", image=image)) as sandbox:
                await sandbox.exec("echo 42 > answer.txt")
                await sandbox.exec("cat answer.txt")

        began = time.monotonic()
        async with anyio.create_task_group() as group:
            for number in range(trials):
                group.start_soon(one, number)
        return _cost(began, trials)


async def suite(folder: Path, trials: int, concurrency: int) -> dict[str, Any]:
    """Run an oracle suite and check that every trial passed."""
    tasks = _make_tasks(folder / "tasks", TASKS)
    settings = Config(run=RunSettings(concurrency=concurrency))
    async with open_bench(Workspace(folder=folder), settings) as bench:
        began = time.monotonic()
        passed = await _passed(bench, "oracle", {}, tasks, -(-trials // TASKS))
        cost = _cost(began, trials)
    if passed < trials:
        sys.exit(f"{trials - passed} of {trials} oracle trials did not pass: the figures mean nothing.")
    return cost


async def live(folder: Path, trials: int, _: int) -> dict[str, Any]:
    """Have that many trials wait for their model at once."""
    tasks = _make_tasks(folder / "tasks", 1)
    with waiting_model(trials) as model:
        settings = Config(
            model=ModelSettings(provider="openai-compatible", name="waiting", base_url=model.url),
            run=RunSettings(concurrency=trials),
        )
        async with open_bench(Workspace(folder=folder), settings) as bench:
            began = time.monotonic()
            await _passed(bench, "waiting", {"agent.py": HARNESS}, tasks, trials)
            cost = _cost(began, trials)
        return {**cost, "live_at_once": await anyio.to_thread.run_sync(model.most_at_once)}


MODES: dict[str, Callable[[Path, int, int], Coroutine[Any, Any, dict[str, Any]]]] = {
    "floor": floor,
    "suite": suite,
    "live": live,
}


async def _passed(bench: Bench, candidate: str, files: dict[str, bytes], tasks: tuple[Task, ...], attempts: int) -> int:
    able, what = build_suite(tasks, (), attempts=attempts, config=bench.config, backend=bench.backend)
    request = RunRequest(
        id="0001", kind=RunKind.SUITE, description="benchmark", candidate=candidate, files=files, tasks=able, suite=what
    )
    run = await measure(request, bench, lambda _: None)
    if run.error:
        sys.exit(run.error)
    return score(run.trials).passed


def _make_tasks(folder: Path, count: int) -> tuple[Task, ...]:
    files = {
        "task.toml": 'schema_version = "1.4"\n',
        "instruction.md": "Write 42 to answer.txt.\n",
        "environment/Dockerfile": "FROM debian:bookworm-slim\nWORKDIR /app\n",
        "solution/solve.sh": "#!/bin/bash\necho 42 > answer.txt\n",
        "tests/test.sh": '#!/bin/bash\nr=0\n[ "$(cat answer.txt)" = 42 ] && r=1\necho $r > /logs/verifier/reward.txt\n',
    }
    for number in range(count):
        for name, text in files.items():
            path = folder / f"answer-{number:02}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    tasks, broken = task_files.load_all(folder)
    if broken:
        sys.exit(f"The benchmark's own tasks cannot be read: {broken}")
    return tasks


def _cost(began: float, trials: int) -> dict[str, Any]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return {
        "wall_sec": time.monotonic() - began,
        "cpu_per_trial_sec": cpu / trials,
        "server_peak_mb": own.ru_maxrss / 1024,
    }


def _apart(mode: str, trials: int, concurrency: int) -> dict[str, Any]:
    """Run one mode in a process of its own and return what it measured."""
    words = [sys.executable, __file__, "--mode", mode, "--trials", str(trials), "--concurrency", str(concurrency)]
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{mode} failed with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def _median(rounds: list[dict[str, Any]], key: str) -> float:
    return statistics.median(one[key] for one in rounds)


def _compare(trials: int, concurrency: int, live_trials: int) -> dict[str, Any]:
    floors: list[dict[str, Any]] = []
    suites: list[dict[str, Any]] = []
    for number in range(ROUNDS):
        floors.append(_apart("floor", trials, concurrency))
        suites.append(_apart("suite", trials, concurrency))
        print(
            f"round {number + 1}: floor {trials / floors[-1]['wall_sec']:6.1f} trials/s"
            f"   suite {trials / suites[-1]['wall_sec']:6.1f} trials/s"
        )
    crowd = _apart("live", live_trials, live_trials) if live_trials else {"live_at_once": 0, "server_peak_mb": 0.0}
    return {
        "trials": trials,
        "concurrency": concurrency,
        "wall_ratio": round(_median(suites, "wall_sec") / _median(floors, "wall_sec"), 3),
        "cpu_per_trial_sec": round(_median(suites, "cpu_per_trial_sec"), 4),
        "floor_cpu_per_trial_sec": round(_median(floors, "cpu_per_trial_sec"), 4),
        "server_peak_mb": round(max(one["server_peak_mb"] for one in suites), 1),
        "live_at_once": crowd["live_at_once"],
        "live_server_peak_mb": round(crowd["server_peak_mb"], 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["bubblewrap"], default="bubblewrap")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument(
        "--live", type=int, default=512, help="trials that wait for their model at once; 0 leaves it out"
    )
    parser.add_argument("--json", action="store_true", help="print one object on the last line")
    parser.add_argument("--mode", choices=sorted(MODES), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.mode:
        with tempfile.TemporaryDirectory(prefix="autoagent-bench-") as scratch:
            print(json.dumps(anyio.run(MODES[asked.mode], Path(scratch), asked.trials, asked.concurrency)))
        return
    found = _compare(asked.trials, asked.concurrency, asked.live)
    if asked.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:26} {value}")


if __name__ == "__main__":
    main()
