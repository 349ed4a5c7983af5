"""Does the rule keep what helps and refuse what does not, on a real model that is random?

uv run python benchmarks/real_night.py [--changes 10] [--temperature 0.8] [--seed 1] [--json]

A scripted client speaks to the real server in a copy of this repository: the shipped tasks, real sandboxes, the real
local model at this temperature, each call drawn by a seed. It measures the baseline, offers the demo's harness that
helps, and then, beside what was kept, changes of the prompt that say the same in other words. At the end the kept
harness is measured afresh as the baseline of another copy, with another seed: the ledger's score must hold.

Takes about half an hour on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

from autoagent_mcp.demo import edited

ROOT = Path(__file__).parents[1]
COPIED = ("agent.py", ".agent", "program.md", "tasks", ".gitignore")
SETTINGS = """\
[model]
provider = "local"
name = "smollm2-135m-instruct"
temperature = {temperature}
seed = {seed}

[run]
backend = "bubblewrap"
attempts = {attempts}
"""
SAME_MEANING = (
    "You are a Linux shell. Translate every request into one bash command.",
    "You are a Linux shell. Turn each request into one bash command.",
    "You are a Linux shell. Translate each request to one bash command.",
    "You are the shell of a Linux machine. Translate each request into one bash command.",
    "You are a Linux shell: translate each request into one bash command.",
    "You are a Linux shell. Translate each of the requests into one bash command.",
    "You are a Linux shell. Each request is to be translated into one bash command.",
    "You are a Linux shell. Translate each request into a single bash command.",
    "You are a shell on Linux. Translate each request into one bash command.",
    "You are a Linux shell. Please translate each request into one bash command.",
)
PROMPT = "You are a Linux shell. Translate each request into one bash command."
REFLECTION = "Yes: nothing in it names a task, a file or an answer; it is about how the model works."
_WAIT_SEC = 3600.0
_NORMAL_95 = 1.96

Call = Callable[..., Any]


def copy_to(folder: Path, agent: str, settings: str) -> None:
    """Make a committed workspace of the shipped tasks with this harness."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    (folder / "agent.py").write_text(agent, encoding="utf-8")
    (folder / "autoagent.toml").write_text(settings, encoding="utf-8")
    who = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost", "-c", "commit.gpgsign=false")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-q", "-m", "Begin")):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


@asynccontextmanager
async def client_of(folder: Path) -> AsyncGenerator[Call]:
    """Speak to a server of its own process."""
    words = ["-m", "autoagent_mcp", "--workspace", str(folder)]
    async with Client(StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ))) as client:

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
            result = await client.call_tool(tool, arguments, read_timeout_seconds=_WAIT_SEC + 60)
            text = "".join(getattr(part, "text", "") for part in result.content)
            return {"refused": text} if result.is_error else result.structured_content or {}

        yield call


async def settled(call: Call, run: dict[str, Any]) -> dict[str, Any]:
    """Wait for a run's end."""
    if "refused" in run:
        raise RuntimeError(run["refused"])
    while run["state"] == "running":
        run = await call("wait_run", run=run["run"], wait_sec=_WAIT_SEC)
    return run


async def offer(call: Call, folder: Path, agent: str, what: str) -> dict[str, Any]:
    """Measure a change, ask to keep it, take back what is refused, and tell what became of it."""
    (folder / "agent.py").write_text(agent, encoding="utf-8")
    run = await settled(call, await call("run_suite", description=what))
    row: dict[str, Any] = {"change": what, "first_run": f"{run['passed']}/{run['total']}"}
    answer = await call("keep_change", reflection=REFLECTION)
    if "refused" in answer:
        row |= {"verdict": "refused at the door"}
    else:
        duel = await settled(call, answer["run"])
        verdict = duel["verdict"] or {"verdict": duel["state"]}
        row |= {name: verdict.get(name) for name in ("verdict", "evidence", "wins", "losses", "trials")}
    if not str(row["verdict"]).startswith("kept"):
        await call("revert_change", lesson="The words make no difference.")
    return row


async def night(options: argparse.Namespace) -> dict[str, Any]:
    """Run the night and the morning after."""
    settings = partial(SETTINGS.format, temperature=options.temperature)
    shipped = (ROOT / "agent.py").read_text(encoding="utf-8")
    helps = edited(shipped, "helps")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="autoagent-night-") as folder:
        evening, morning = Path(folder) / "evening", Path(folder) / "morning"
        for place in (evening, morning):
            place.mkdir()
        copy_to(evening, shipped, settings(seed=options.seed, attempts=1))
        async with client_of(evening) as call:
            baseline = await settled(call, await call("run_suite", description="The baseline"))
            tell(f"baseline: {baseline['passed']} of {baseline['total']}")
            rows.append(await offer(call, evening, helps, "Examples, and the command run as text"))
            tell(rows[-1])
            kept = (await call("read_ledger"))["experiments"][0]
            for words in SAME_MEANING[: options.changes]:
                rows.append(await offer(call, evening, helps.replace(PROMPT, words), words))
                tell(rows[-1])
        copy_to(morning, helps, settings(seed=options.seed + 1, attempts=2))
        async with client_of(morning) as call:
            fresh = await settled(call, await call("run_suite", description="The kept harness, afresh"))
    passed, trials = (int(part) for part in kept["passed"].split("/"))
    low, high = interval(passed, trials)
    share = fresh["passed"] / fresh["total"]
    return {
        "baseline": f"{baseline['passed']}/{baseline['total']}",
        "rows": rows,
        "ledger_score": kept["passed"],
        "interval": [round(low, 3), round(high, 3)],
        "fresh_score": f"{fresh['passed']}/{fresh['total']}",
        "holds": low <= share <= high,
        "kept_without_effect": sum(str(row["verdict"]).startswith("kept") for row in rows[1:]),
    }


def interval(passed: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a pass rate (Wilson, 1927)."""
    z2, rate = _NORMAL_95**2, passed / trials
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _NORMAL_95 * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return centre - half, centre + half


def tell(what: object) -> None:
    """Print progress beside the result."""
    print(what, file=sys.stderr, flush=True)


def main() -> None:
    """Run it and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=len(SAME_MEANING))
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    result = anyio.run(night, options := parser.parse_args())
    if options.json:
        print(json.dumps(result))
        return
    for row in result["rows"]:
        print(row)
    print(f"ledger {result['ledger_score']} {result['interval']}, afresh {result['fresh_score']}: {result['holds']=}")


if __name__ == "__main__":
    main()
