"""Trivial tasks, and suites of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from autoagent_mcp import task as task_files
from autoagent_mcp.models.run import Run, RunKind
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Arm
from autoagent_mcp.run.bench import Bench
from autoagent_mcp.run.run import Report, RunRequest, measure
from autoagent_mcp.run.score import score
from autoagent_mcp.run.suite import build_suite

TASKS = 20
TASK_TOML = 'schema_version = "1.4"\n\n[environment]\nnetwork_mode = "no-network"\n'
_FILES = {
    "task.toml": TASK_TOML,
    "instruction.md": "Write 42 to answer.txt.\n",
    "environment/Dockerfile": "FROM debian:bookworm-slim\nWORKDIR /app\n",
    "solution/solve.sh": "#!/bin/bash\necho 42 > answer.txt\n",
    "tests/test.sh": '#!/bin/bash\nr=0\n[ "$(cat answer.txt)" = 42 ] && r=1\necho $r > /logs/verifier/reward.txt\n',
}


def make_tasks(folder: Path, own: Mapping[str, Mapping[str, str]]) -> tuple[Task, ...]:
    """Write tasks and read them.

    Args:
        folder: Where.
        own: For each task's name the files that it has instead of the usual ones.
    """
    for name, files in own.items():
        for place, text in {**_FILES, **files}.items():
            path = folder / name / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    tasks, broken = task_files.load_all(folder)
    if broken:
        sys.exit(f"The benchmark's own tasks cannot be read: {broken}")
    return tasks


def numbered(count: int) -> dict[str, dict[str, str]]:
    """Return so many tasks without files of their own, for `make_tasks`."""
    return {f"answer-{number:02}": {} for number in range(count)}


async def run_suite(
    bench: Bench,
    candidate: str,
    files: Mapping[str, bytes],
    tasks: tuple[Task, ...],
    attempts: int,
    *,
    report: Report = lambda _: None,
) -> Run:
    """Measure a candidate; end the program where the run failed as a whole."""
    able, suite = build_suite(tasks, (), attempts=attempts, config=bench.config, backend=bench.backend)
    request = RunRequest(
        id="0001",
        kind=RunKind.SUITE,
        description="benchmark",
        candidate=candidate,
        harnesses={Arm.CANDIDATE: files},
        tasks=able,
        suite=suite,
    )
    run = await measure(request, bench, report)
    if run.error:
        sys.exit(run.error)
    return run


def see_all_passed(run: Run, trials: int) -> None:
    """End the program unless that many trials passed: what failed measured something else."""
    passed = score(run.trials).passed
    if passed < trials:
        sys.exit(f"{trials - passed} of {trials} trials did not pass: the figures mean nothing.")
