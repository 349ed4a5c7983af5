"""`autoagent-mcp tasks check`: does each task measure anything here?

A task is sound where its solution passes and doing nothing does not; both are run in real sandboxes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from autoagent_mcp import config as config_file
from autoagent_mcp import task as task_files
from autoagent_mcp.errors import SandboxError, UnknownNameError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.run import Excluded, Run, RunKind, Suite
from autoagent_mcp.models.run import Progress as RunProgress
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Trial
from autoagent_mcp.run.bench import Bench, open_bench
from autoagent_mcp.run.run import RunRequest, measure
from autoagent_mcp.run.suite import build_suite
from autoagent_mcp.workspace import Workspace


class Verdict(str, Enum):
    """What a task is worth here."""

    SOUND = "sound"
    UNCHECKED = "unchecked"
    """It has no solution, and doing nothing does not pass."""
    BROKEN = "broken"
    REFUSED = "cannot run here"
    NO_TASK = "no task"
    """A folder without task.toml, which Harbor passes over."""


_COLOURS = {Verdict.UNCHECKED: "yellow", Verdict.BROKEN: "red", Verdict.REFUSED: "yellow", Verdict.NO_TASK: "dim"}


class Checked(Frozen):
    """What came of one task."""

    task: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    solution: str = ""
    """What the verifier gave for the task's own solution: a reward, a failure, or nothing where it was not asked."""
    nothing: str = ""
    """The same for doing nothing."""
    notices: tuple[str, ...] = ()


async def check_tasks(workspace: Workspace, names: tuple[str, ...], *, as_json: bool) -> bool:
    """Check the named tasks, or all, print what came of it and return whether none is broken.

    Args:
        workspace: Whose autoagent.toml names the tasks and the backend.
        names: Of tasks; none means all.
        as_json: Whether to print a JSON list instead of a table.

    Raises:
        UnknownNameError: There is no such task.
        SandboxError: This machine cannot make sandboxes, or its disk is full.
    """
    settings = config_file.load(workspace.folder)
    tasks_dir = workspace.folder / settings.tasks_dir
    tasks, broken = task_files.load_all(tasks_dir)
    known = {one.name for one in tasks} | {one.task for one in broken}
    for name in names:
        if name not in known:
            raise UnknownNameError("task", name, sorted(known))
    tasks = tuple(task for task in tasks if not names or task.name in names)
    broken = tuple(one for one in broken if not names or one.task in names)
    console = Console(stderr=as_json)
    with tempfile.TemporaryDirectory(prefix="autoagent-check-") as scratch:
        async with open_bench(Workspace(folder=Path(scratch)), settings, workspace_id=workspace.id) as bench:
            able, suite = build_suite(tasks, (), attempts=1, config=settings, backend=bench.backend)
            solvable = tuple(task for task in able if _has_solution(task))
            oracle = await _measure(console, bench, "oracle", solvable, suite)
            nop = await _measure(console, bench, "nop", able, suite)
    rows = [*_judged(tasks, oracle, nop), *_refused(tasks, suite), *(_unusable(one, tasks_dir) for one in broken)]
    rows.sort(key=lambda row: row.task)
    if as_json:
        sys.stdout.write(json.dumps([row.model_dump(mode="json") for row in rows], indent=1) + "\n")
    else:
        _show(console, rows, bench.backend.name)
    for notice in bench.notices:
        console.print(notice, markup=False, soft_wrap=True)
    return all(row.verdict is not Verdict.BROKEN for row in rows)


def _has_solution(task: Task) -> bool:
    return all((task_files.solution_of(task, step) / "solve.sh").is_file() for step in task.steps)


async def _measure(console: Console, bench: Bench, who: str, tasks: tuple[Task, ...], suite: Suite) -> Run:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(who, total=len(tasks))

        def report(progress: RunProgress) -> None:
            bars.update(bar, completed=progress.done)

        request = RunRequest(
            id=who, kind=RunKind.SUITE, description=who, candidate=who, harnesses={}, tasks=tasks, suite=suite
        )
        run = await measure(request, bench, report)
    if run.error:
        raise SandboxError(run.error, "Nothing more was checked.")
    return run


def _judged(tasks: Sequence[Task], oracle: Run, nop: Run) -> list[Checked]:
    solved = {trial.task: trial for trial in oracle.trials}
    idle = {trial.task: trial for trial in nop.trials}
    return [_judge(task, solved.get(task.name), idle[task.name]) for task in tasks if task.name in idle]


def _judge(task: Task, solved: Trial | None, idle: Trial) -> Checked:
    reasons = [problem] if (problem := _problem_of_solution(task, solved)) else []
    if idle.passed:
        reasons.append("doing nothing passes")
    elif not idle.counts and not _is_same(solved, idle):
        reasons.append(_why(idle))
    is_checked = solved is not None or task.is_impossible
    trials = [trial for trial in (solved, idle) if trial is not None]
    return Checked(
        task=task.name,
        verdict=Verdict.BROKEN if reasons else Verdict.SOUND if is_checked else Verdict.UNCHECKED,
        reasons=tuple(reasons) or (() if is_checked else ("it has no solution",)),
        solution=_say(solved) if solved else "",
        nothing=_say(idle),
        notices=tuple(dict.fromkeys((*task.notices, *(notice for trial in trials for notice in trial.notices)))),
    )


def _problem_of_solution(task: Task, solved: Trial | None) -> str:
    if solved is None or (task.is_impossible and solved.counts and not solved.passed):
        return ""
    if task.is_impossible and solved.passed:
        return "its solution passes, though it is marked as impossible"
    return "" if solved.passed else _why(solved) or "its solution does not pass"


def _is_same(solved: Trial | None, idle: Trial) -> bool:
    """Tell whether both failed for one cause, which is told once: an image that cannot be built, for example."""
    return (
        solved is not None
        and solved.failure is not None
        and idle.failure is not None
        and (solved.failure.cause is idle.failure.cause)
    )


def _why(trial: Trial) -> str:
    if trial.failure is None:
        return ""
    return trial.failure.detail or trial.failure.cause.value


def _say(trial: Trial) -> str:
    reward = "none" if trial.reward is None else f"{trial.reward:g}"
    return f"{reward} ({trial.failure.cause.value})" if trial.failure else reward


def _refused(tasks: Sequence[Task], suite: Suite) -> list[Checked]:
    notices = {task.name: task.notices for task in tasks}
    return [
        Checked(task=one.task, verdict=Verdict.REFUSED, reasons=one.reasons, notices=notices[one.task])
        for one in suite.excluded
    ]


def _unusable(one: Excluded, tasks_dir: Path) -> Checked:
    is_task = task_files.is_task(tasks_dir) or task_files.is_task(tasks_dir / one.task)
    return Checked(task=one.task, verdict=Verdict.BROKEN if is_task else Verdict.NO_TASK, reasons=one.reasons)


def _show(console: Console, rows: Sequence[Checked], backend: str) -> None:
    table = Table("task", "solution", "nothing", "verdict")
    for row in rows:
        said = f"{row.verdict.value}: {'; '.join(row.reasons)}" if row.reasons else row.verdict.value
        colour = _COLOURS.get(row.verdict, "none")
        table.add_row(escape(row.task), row.solution, row.nothing, f"[{colour}]{escape(said)}[/]")
        for notice in row.notices:
            table.add_row("", "", "", f"[dim]{escape(notice)}[/]")
    console.print(table)
    sound = sum(row.verdict is Verdict.SOUND for row in rows)
    able = sum(row.nothing != "" for row in rows)
    unable = sum(row.verdict is Verdict.REFUSED for row in rows)
    summary = f"{sound} of {able} tasks that can run here are sound; {unable} cannot run here. Backend: {backend}."
    console.print(summary, soft_wrap=True)
