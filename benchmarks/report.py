"""How long the page of a long night takes to write, how big it is, how soon its first screen can be used.

The workspace is made up: 300 experiments of 100 tasks each, every tenth of which also goes through a confirm run, with
traces of 12 steps on disk; ledger and git are written by the server's own classes. A headless Chromium, the one on
PATH, then opens the page from the file system. `renewed_sec` is when the live page has what is new, at worst.

    uv run python benchmarks/report.py [--experiments N] [--tasks N] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import anyio
from playwright.sync_api import Browser, sync_playwright

from autoagent_mcp.experiment.book import DECIDED, JUDGED
from autoagent_mcp.experiment.duel import draw, judge
from autoagent_mcp.experiment.record import Record
from autoagent_mcp.ledger import Ledger
from autoagent_mcp.models.experiment import Decided, Decision, Judged, Outcome
from autoagent_mcp.models.run import Run, RunKind, RunState, Suite
from autoagent_mcp.models.trial import Arm, Failure, FailureCause, Trial, Usage
from autoagent_mcp.repo import Editable, Repo
from autoagent_mcp.report.writing import Report, write_report
from autoagent_mcp.run.score import score
from autoagent_mcp.view.live import Live
from autoagent_mcp.workspace import Workspace

ROOT = Path(__file__).parents[1]
CONFIRMED_EVERY = 10
CONFIRM_ROUNDS = 2
OPENED = 3
WRITTEN_LIMIT_SEC, USABLE_LIMIT_SEC = 30, 2
BEGAN = datetime(2026, 1, 1, 22, tzinfo=timezone.utc)
_OUTPUT = "drwxr-xr-x 2 root root 4096 invoices\n-rw-r--r-- 1 root root 1834 totals.csv\n" * 8


class LongNight:
    """Makes up what a night leaves."""

    def __init__(self, workspace: Workspace, experiments: int, tasks: int) -> None:
        self._workspace = workspace
        self._experiments = experiments
        names = tuple(f"task-{number:03}" for number in range(tasks))
        self._suite = Suite(tasks=names, fingerprint="f" * 64, backend="bubblewrap", model="openai/gpt-5-mini")
        self._random = random.Random(7)  # noqa: S311 - no secret
        self._chances = {name: self._random.betavariate(0.6, 0.9) for name in names}
        self._runs = 0

    async def make(self) -> None:
        """Write ledger, refs and run folders."""
        self._git_init()
        ledger = await Ledger.open(self._workspace)
        try:
            record = Record(self._workspace, await Repo.open(self._workspace), ledger)
            await record.load()
            for number in range(self._experiments):
                await self._experiment(record, number)
        finally:
            await ledger.close()

    def _git_init(self) -> None:
        folder = self._workspace.folder
        folder.mkdir()
        for name in ("agent.py", "autoagent.toml", ".gitignore"):
            shutil.copy2(ROOT / name, folder / name)
        for words in ("init -q -b main", "config user.name night", "config user.email night@localhost", "add -A"):
            subprocess.run(["git", *words.split()], cwd=folder, check=True)
        subprocess.run(["git", "commit", "-q", "-m", "Begin"], cwd=folder, check=True)

    async def _experiment(self, record: Record, number: int) -> None:
        agent = (ROOT / "agent.py").read_text(encoding="utf-8")
        agent = agent.replace('SYSTEM_PROMPT = "', f'SYSTEM_PROMPT = "Rule {number}: look before you act. ', 1)
        editable = Editable(files={"agent.py": agent.encode()}, executable=frozenset())
        one = await record.begin(editable, f"Change {number}: look at the files before anything is written, then check")
        run = self._run(RunKind.SUITE, one.candidate.tree, [(Arm.CANDIDATE, 1)])
        await record.enter_run(number, run)
        if number and number % CONFIRMED_EVERY:
            decided = Decided(
                experiment=number, decision=Decision.REVERT, reason=f"Change {number} solved nothing new."
            )
            await record.append(DECIDED, decided)
        else:
            await self._keep(record, number, run)

    async def _keep(self, record: Record, number: int, door: Run) -> None:
        commit = await record.repo.head()
        if number == 0:
            kept = Decided(experiment=0, decision=Decision.KEEP, reason="The baseline.", kept_commit=commit)
            await record.append(DECIDED, kept)
            return
        incumbent = record.book.incumbent
        if incumbent is None:
            raise RuntimeError("there is no baseline")
        self._chances = {name: min(0.98, chance + 0.01) for name, chance in self._chances.items()}
        duel = draw(incumbent.n, score(door.trials).tasks, {}, is_simpler=False, by_reward=False, reflection="Yes.")
        rounds = range(1, CONFIRM_ROUNDS + 1)
        arms = [(arm, attempt) for attempt in rounds for arm in (Arm.CANDIDATE, Arm.INCUMBENT, Arm.SCORE)]
        run = self._run(RunKind.CONFIRM, door.candidate, arms).model_copy(update={"duel": duel})
        await record.enter_run(number, run)
        judgement = judge(run, duel, is_vetoed=False, cheats=()).model_copy(update={"outcome": Outcome.KEPT})
        await record.append(JUDGED, Judged(run=run.id, judgement=judgement))
        kept = Decided(
            experiment=number,
            decision=Decision.KEEP,
            reason="Kept.",
            reflection="Yes.",
            kept_commit=commit,
            score_run=run.id,
        )
        await record.append(DECIDED, kept)

    def _run(self, kind: RunKind, candidate: str, arms: Sequence[tuple[Arm, int]]) -> Run:
        self._runs += 1
        trials = tuple(self._trial(task, arm, attempt) for task in self._suite.tasks for arm, attempt in arms)
        run = Run(
            id=f"{self._runs:04}",
            kind=kind,
            description=f"Run {self._runs}: look at the files before anything is written, then check",
            candidate=candidate,
            suite=self._suite,
            state=RunState.COMPLETE,
            started_at=BEGAN + timedelta(minutes=self._runs),
            finished_at=BEGAN + timedelta(minutes=self._runs + 1),
            trials=trials,
            spent=sum((trial.usage for trial in trials), Usage()),
            duration_sec=90.0,
        )
        for trial in trials:
            self._write(run, trial)
        return run

    def _trial(self, task: str, arm: Arm, attempt: int) -> Trial:
        passed = self._random.random() < self._chances[task]
        failure = None if passed or attempt else Failure(cause=FailureCause.HARNESS_TIMEOUT)
        prefix = "" if arm is Arm.CANDIDATE else f"{arm.value}-"
        usage = Usage(model_calls=6, prompt_tokens=9000, completion_tokens=700, cost_usd=0.004)
        return Trial(
            id=f"{task}__{prefix}{attempt}",
            task=task,
            attempt=attempt,
            arm=arm,
            reward=float(passed),
            passed=passed,
            failure=failure,
            usage=usage,
            commands=5,
            started_at=BEGAN,
            duration_sec=self._random.uniform(5, 60),
            phases_sec={"sandbox": 0.2, "harness": 20.0, "verifier": 1.5},
        )

    def _write(self, run: Run, trial: Trial) -> None:
        files = self._workspace.trial(run.id, trial.id)
        files.verifier.mkdir(parents=True)
        files.trial.write_text(trial.model_dump_json(), encoding="utf-8")
        files.trajectory.write_text(json.dumps({"steps": list(map(self._step, range(12)))}), encoding="utf-8")
        files.harness_log.write_text("", encoding="utf-8")
        (files.verifier / "test-stdout.txt").write_text(_OUTPUT, encoding="utf-8")

    def _step(self, number: int) -> dict[str, object]:
        noise = self._random.randbytes(200).hex()
        return {
            "step_id": number + 1,
            "source": "agent",
            "message": f"I looked at the files; next comes part {number}. {noise}",
            "reasoning_content": "The totals must match what the invoices say, so each is read again. " * 4,
            "tool_calls": [{"tool_call_id": "1", "function_name": "bash", "arguments": {"command": f"ls {number}"}}],
            "observation": {"results": [{"source_call_id": "1", "content": _OUTPUT + noise}]},
            "metrics": {"prompt_tokens": 1500, "completion_tokens": 110, "cost_usd": 0.0007},
        }


def usable_sec(browser: Browser, index: Path) -> float:
    """Return the seconds from opening the page to a drawn first screen that takes a click."""
    page = browser.new_page()
    began = time.perf_counter()
    page.goto(index.as_uri())
    page.locator(".chart canvas").wait_for()
    page.locator("nav a").last.click(trial=True)
    found = time.perf_counter() - began
    page.close()
    return found


async def renewed_sec(workspace: Workspace) -> float:
    """Return the seconds after which the live page has what is new, at worst: it was read a moment ago."""
    live, found = Live(workspace), 0.0
    await live.snapshot()
    for _ in range(2):  # the first time it rests after a reading in which nothing was known yet
        version, began = (await live.snapshot()).version, time.perf_counter()
        (workspace.folder / "autoagent.toml").touch()
        while (await live.snapshot()).version == version:  # noqa: ASYNC110 - as the page does
            await anyio.sleep(0.1)
        found = time.perf_counter() - began
    return found


async def measured(folder: Path, experiments: int, tasks: int) -> tuple[Report, float, float]:
    """Make the workspace and write its page; return that, the seconds it took, and those of the live page."""
    workspace = Workspace(folder=folder / "night")
    began = time.perf_counter()
    await LongNight(workspace, experiments, tasks).make()
    print(f"The workspace took {time.perf_counter() - began:.0f} s to make.", file=sys.stderr)
    began = time.perf_counter()
    report = await write_report(workspace)
    written_sec = time.perf_counter() - began
    return report, written_sec, await renewed_sec(workspace)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=300)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"
        report, written_sec, live_sec = anyio.run(measured, Path(folder), options.experiments, options.tasks)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            slowest_sec = max(usable_sec(browser, report.index) for _ in range(OPENED))
            browser.close()
        took = {"written_sec": written_sec, "usable_sec": slowest_sec, "renewed_sec": live_sec}
        tell(report, took, as_json=options.json)


def tell(report: Report, took: Mapping[str, float], *, as_json: bool) -> None:
    """Print what was measured."""
    found = {
        "experiments": report.experiments,
        "trials": report.trials,
        **{name: round(sec, 2) for name, sec in took.items()},
        "page_mb": round(report.page_bytes / 1e6, 2),
        "traces_mb": round(report.traces_bytes / 1e6, 1),
    }
    if as_json:
        print(json.dumps(found), flush=True)
        return
    for name, value in found.items():
        print(f"{name:<12} {value}")
    print(f"Aims: written in {WRITTEN_LIMIT_SEC} s, usable in {USABLE_LIMIT_SEC} s.", flush=True)


if __name__ == "__main__":
    main()
