"""What a suite costs beside the sandboxes themselves.

uv run python benchmarks/suite.py --backend bubblewrap [--trials 200] [--concurrency 8] [--live 512] [--json]
uv run python benchmarks/suite.py --backend docker [--trials 20] [--concurrency N] [--json]

Each in a process of its own so that its CPU and memory are its own:

* floor: on bubblewrap start a sandbox, run two commands, stop it; on Docker the bare SDK doing the same containers:
  create, start, two archives in, two execs, one archive out, remove. The given number side by side.
* suite: the same number of oracle trials through `run.measure`: sandbox, solution, verifier, reward, trace, files.
* live (bubblewrap): that many trials at once, all waiting for their model; a stub answers when the last has called.

Floor and suite alternate, so that a noisy machine disturbs both; the ratio is that of the medians. On Docker, where no
concurrency is named, 1, 4 and 8 are measured in turn. Images are made and tasks are read before the clock runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
from answer_tasks import TASKS, make_tasks, numbered, run_suite, see_all_passed
from apart import Meter, median, run_apart
from engine_calls import EngineCalls
from floor import bubblewrap_floor, docker_floor
from waiting_model import HARNESS, waiting_model

from autoagent_mcp.config import Config, ModelSettings, RunSettings
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.workspace import Workspace

ROUNDS = 3
SIDE_BY_SIDE = (1, 4, 8)
AIMED_AT = (4, 8)
"""Where the aims hold: one trial alone waits for the engine only."""


async def bubblewrap_suite(folder: Path, trials: int, concurrency: int) -> dict[str, Any]:
    """Run an oracle suite and check that every trial passed."""
    return await _suite(folder, trials, RunSettings(backend="bubblewrap", concurrency=concurrency))


async def docker_suite(folder: Path, trials: int, concurrency: int) -> dict[str, Any]:
    """Do the same, and count what the engine is asked for."""
    calls = EngineCalls()
    calls.watch()
    cost = await _suite(folder, trials, RunSettings(backend="docker", concurrency=concurrency), calls)
    return {**cost, "calls": calls.per_trial(trials)}


async def _suite(folder: Path, trials: int, settings: RunSettings, calls: EngineCalls | None = None) -> dict[str, Any]:
    tasks = make_tasks(folder / "tasks", numbered(TASKS))
    async with open_bench(Workspace(folder=folder), Config(run=settings)) as bench:
        await bench.backend.prepare(tasks[0])
        if calls:
            calls.forget()
        meter = Meter()
        run = await run_suite(bench, "oracle", {}, tasks, -(-trials // TASKS))
        cost = meter.cost(trials)
    see_all_passed(run, trials)
    return cost


async def live(folder: Path, trials: int, _: int) -> dict[str, Any]:
    """Have that many trials wait for their model at once."""
    tasks = make_tasks(folder / "tasks", numbered(1))
    with waiting_model(trials) as model:
        settings = Config(
            model=ModelSettings(provider="openai-compatible", name="waiting", base_url=model.url),
            run=RunSettings(backend="bubblewrap", concurrency=trials),
        )
        async with open_bench(Workspace(folder=folder), settings) as bench:
            meter = Meter()
            await run_suite(bench, "waiting", {"agent.py": HARNESS}, tasks, trials)
            cost = meter.cost(trials)
        return {**cost, "live_at_once": await anyio.to_thread.run_sync(model.most_at_once)}


Mode = Callable[[Path, int, int], Coroutine[Any, Any, dict[str, Any]]]
MODES: dict[str, Mode] = {
    "bubblewrap-floor": bubblewrap_floor,
    "bubblewrap-suite": bubblewrap_suite,
    "bubblewrap-live": live,
    "docker-floor": docker_floor,
    "docker-suite": docker_suite,
}


def compare(backend: str, trials: int, concurrency: int) -> dict[str, Any]:
    """Measure floor and suite in turn; print each round and return what they come to."""
    floors: list[dict[str, Any]] = []
    suites: list[dict[str, Any]] = []
    for number in range(ROUNDS):
        floors.append(_apart(f"{backend}-floor", trials, concurrency))
        suites.append(_apart(f"{backend}-suite", trials, concurrency))
        print(
            f"{concurrency} side by side, round {number + 1}: floor {trials / floors[-1]['wall_sec']:6.2f} trials/s"
            f"   suite {trials / suites[-1]['wall_sec']:6.2f} trials/s",
            flush=True,
        )
    cpu, floor_cpu = median(suites, "cpu_per_trial_sec"), median(floors, "cpu_per_trial_sec")
    found = {
        "trials": trials,
        "concurrency": concurrency,
        "floor_trials_per_sec": round(trials / median(floors, "wall_sec"), 2),
        "suite_trials_per_sec": round(trials / median(suites, "wall_sec"), 2),
        "wall_ratio": round(median(suites, "wall_sec") / median(floors, "wall_sec"), 3),
        "cpu_per_trial_sec": round(cpu, 4),
        "floor_cpu_per_trial_sec": round(floor_cpu, 4),
        "cpu_above_floor_sec": round(cpu - floor_cpu, 4),
        "server_peak_mb": round(max(one["server_peak_mb"] for one in suites), 1),
    }
    if backend == "docker":
        _print_calls(floors, suites, concurrency, trials)
    return found


def _print_calls(floors: list[dict[str, Any]], suites: list[dict[str, Any]], concurrency: int, trials: int) -> None:
    """Say where a trial's time goes: how often each thing is asked of the engine, and the ms it takes of a trial."""
    print(f"{'per trial':32} {'floor':>6} {'ms':>7}   {'suite':>6} {'ms':>7}")
    left = [median(rounds, "wall_sec") * 1000 * concurrency / trials for rounds in (floors, suites)]
    whole = f"{'a slot, per trial':32} {'':6} {left[0]:7.1f}   {'':6} {left[1]:7.1f}"
    for name in dict.fromkeys(name for one in (*floors, *suites) for name in one["calls"]):
        line = f"{name:32}"
        for number, rounds in enumerate((floors, suites)):
            found = [one["calls"].get(name, (0.0, 0.0)) for one in rounds]
            count, ms = statistics.median(one[0] for one in found), statistics.median(one[1] for one in found)
            left[number] -= ms
            line += f" {count:6.2f} {ms:7.1f}  "
        print(line)
    print(f"{'not in the engine':32} {'':6} {left[0]:7.1f}   {'':6} {left[1]:7.1f}")
    print(whole, flush=True)


def _apart(mode: str, trials: int, concurrency: int) -> dict[str, Any]:
    return run_apart(Path(__file__), "--mode", mode, "--trials", str(trials), "--concurrency", str(concurrency))


def on_bubblewrap(trials: int, concurrency: int, live_trials: int) -> dict[str, Any]:
    """Compare, and have many trials live at once."""
    found = compare("bubblewrap", trials, concurrency)
    crowd = (
        _apart("bubblewrap-live", live_trials, live_trials)
        if live_trials
        else {"live_at_once": 0, "server_peak_mb": 0.0}
    )
    return {**found, "live_at_once": crowd["live_at_once"], "live_server_peak_mb": round(crowd["server_peak_mb"], 1)}


def on_docker(trials: int, concurrency: int | None) -> dict[str, Any]:
    """Compare at one or several numbers side by side; of several the worst counts where the aims hold."""
    if concurrency is not None:
        return compare("docker", trials, concurrency)
    rows = [compare("docker", trials, number) for number in SIDE_BY_SIDE]
    aimed_at = [row for row in rows if row["concurrency"] in AIMED_AT]
    worst = {name: max(row[name] for row in aimed_at) for name in ("wall_ratio", "cpu_above_floor_sec")}
    return {"trials": trials, **worst, "server_peak_mb": max(row["server_peak_mb"] for row in rows), "rows": rows}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["bubblewrap", "docker"], default="bubblewrap")
    parser.add_argument("--trials", type=int, help="200 on bubblewrap, 20 on Docker")
    parser.add_argument("--concurrency", type=int, help="8 on bubblewrap; 1, 4 and 8 in turn on Docker")
    parser.add_argument(
        "--live", type=int, default=512, help="bubblewrap: trials that wait for their model at once; 0 leaves it out"
    )
    parser.add_argument("--json", action="store_true", help="print one object on the last line")
    parser.add_argument("--mode", choices=sorted(MODES), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.mode:
        with tempfile.TemporaryDirectory(prefix="autoagent-bench-") as scratch:
            print(json.dumps(anyio.run(MODES[asked.mode], Path(scratch), asked.trials, asked.concurrency)))
        return
    if asked.backend == "docker":
        found = on_docker(asked.trials or TASKS, asked.concurrency)
    else:
        found = on_bubblewrap(asked.trials or 200, asked.concurrency or 8, asked.live)
    _print(found, as_json=asked.json)


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
        return
    for row in found.pop("rows", []):
        _print(row, as_json=False)
        print()
    for name, value in found.items():
        print(f"{name:26} {value}")


if __name__ == "__main__":
    main()
