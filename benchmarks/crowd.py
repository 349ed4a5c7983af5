"""A crowd of trials, some of which misbehave: none is lost, and none is disturbed by another.

uv run python benchmarks/crowd.py [--backend docker] [--trials 1000] [--concurrency 64] [--json]

Every trial's harness sleeps 2 s and calls the model once (a stub answers). Of 20 trials 17 then do their task; one
hangs, deaf to signals, until its time is up; one crashes; and one floods its output, its log and its sandbox's, and
gives up. Each sound trial must have passed with its one call, at the first try; each other must have the failure that
is its own. The run is measured in a process of its own: the memory is the server's, its children apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
from answer_tasks import TASK_TOML, TASKS, make_tasks, run_suite
from apart import Meter, run_apart
from waiting_model import waiting_model

from autoagent_mcp.config import Config, ModelSettings, RunSettings
from autoagent_mcp.models.run import Progress, Run
from autoagent_mcp.models.trial import FailureCause, Trial
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.workspace import Workspace

MEMORY_LIMIT_MB = 400
TOLD_EVERY = 100

HARNESS = b"""
import asyncio, ctypes, json, os, signal, sys, time, urllib.request

def ask():
    body = {"model": "waiting", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=600).read()

async def run_task(environment, instruction):
    await asyncio.sleep(2)
    await asyncio.to_thread(ask)
    if "hang" in instruction:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(1)
    if "crash" in instruction:
        ctypes.string_at(0)
    if "flood" in instruction:
        for _ in range(1000):
            print("flood" * 10_000)
        await environment.exec("yes | head -c 50000000")
        raise RuntimeError("it flooded")
    await environment.exec("echo 42 > answer.txt")
"""

ODD = {
    "hangs": {"instruction.md": "hang\n", "task.toml": f"{TASK_TOML}\n[agent]\ntimeout_sec = 10.0\n"},
    "crashes": {"instruction.md": "crash\n"},
    "floods": {"instruction.md": "flood\n"},
}
EXPECTED = {
    "hangs": (FailureCause.HARNESS_TIMEOUT, "did not return within 10 s"),
    "crashes": (FailureCause.HARNESS_CRASHED, "signal 11"),
    "floods": (FailureCause.HARNESS_CRASHED, "it flooded"),
}
"""The failure of each, and what its detail says."""


async def crowd(folder: Path, backend: str, attempts: int, concurrency: int) -> dict[str, Any]:
    """Run the crowd once and count what came of it."""
    sound: dict[str, dict[str, str]] = {f"sound-{number:02}": {} for number in range(TASKS - len(ODD))}
    tasks = make_tasks(folder / "tasks", {**sound, **ODD})
    with waiting_model(1) as model:
        settings = Config.model_validate(
            {
                "model": ModelSettings(provider="openai-compatible", name="waiting", base_url=model.url),
                "run": RunSettings.model_validate({"backend": backend, "concurrency": concurrency}),
            }
        )
        async with open_bench(Workspace(folder=folder), settings) as bench:
            await bench.backend.prepare(tasks[0])
            meter = Meter()
            run = await run_suite(bench, "crowd", {"agent.py": HARNESS}, tasks, attempts, report=_tell)
            cost = meter.cost(len(tasks) * attempts)
        answered = await anyio.to_thread.run_sync(model.answered)
    return {**cost, **_count(run, len(tasks) * attempts), "model_calls": answered}


def _tell(progress: Progress) -> None:
    if progress.done % TOLD_EVERY == 0:
        print(f"{progress.done} of {progress.total} trials", file=sys.stderr, flush=True)


def _count(run: Run, trials: int) -> dict[str, Any]:
    wrong = [trial for trial in run.trials if not _is_as_it_should(trial)]
    for trial in wrong:
        print(f"{trial.id}: passed={trial.passed} {trial.usage} {trial.failure} {trial.retried}", file=sys.stderr)
    return {
        "trials": trials,
        "lost": trials - sum(trial.counts for trial in run.trials),
        "disturbed": sum(trial.task not in ODD for trial in wrong),
        "other_than_expected": sum(trial.task in ODD for trial in wrong),
        "passed": sum(trial.passed for trial in run.trials),
        "failures": dict(Counter(trial.failure.cause.value for trial in run.trials if trial.failure)),
    }


def _is_as_it_should(trial: Trial) -> bool:
    if trial.usage.model_calls != 1 or trial.retried:
        return False
    if trial.task not in ODD:
        return trial.passed and trial.failure is None
    cause, said = EXPECTED[trial.task]
    return trial.failure is not None and trial.failure.cause is cause and said in trial.failure.detail


def main() -> None:
    """Measure, print, and end with status 1 where something was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["bubblewrap", "docker"], default="docker")
    parser.add_argument("--trials", type=int, default=1000, help=f"rounded up to a multiple of {TASKS}")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--json", action="store_true", help="print one object on the last line")
    parser.add_argument("--apart", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    attempts = -(-asked.trials // TASKS)
    if asked.apart:
        with tempfile.TemporaryDirectory(prefix="autoagent-crowd-") as scratch:
            print(json.dumps(anyio.run(crowd, Path(scratch), asked.backend, attempts, asked.concurrency)))
        return
    words = ("--backend", asked.backend, "--trials", str(asked.trials), "--concurrency", str(asked.concurrency))
    found = _summary(run_apart(Path(__file__), "--apart", *words), asked.backend, asked.concurrency)
    print(json.dumps(found) if asked.json else "\n".join(f"{name:22} {value}" for name, value in found.items()))
    sys.exit(0 if found["ok"] else 1)


def _summary(found: dict[str, Any], backend: str, concurrency: int) -> dict[str, Any]:
    is_whole = not (found["lost"] or found["disturbed"] or found["other_than_expected"])
    return {
        "backend": backend,
        "concurrency": concurrency,
        **{name: found[name] for name in ("trials", "lost", "disturbed", "other_than_expected", "passed", "failures")},
        "model_calls": found["model_calls"],
        "server_peak_mb": round(found["server_peak_mb"], 1),
        "cpu_per_trial_sec": round(found["cpu_per_trial_sec"], 4),
        "wall_sec": round(found["wall_sec"], 1),
        "trials_per_sec": round(found["trials"] / found["wall_sec"], 2),
        "ok": is_whole and found["model_calls"] == found["trials"] and found["server_peak_mb"] < MEMORY_LIMIT_MB,
    }


if __name__ == "__main__":
    main()
