"""`autoagent-mcp tasks check`: does each task measure anything here?

A task is sound where its solution passes and doing nothing does not; both are run in real sandboxes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from autoagent_mcp import config as config_file
from autoagent_mcp import task as task_files
from autoagent_mcp.errors import SandboxError, UnknownNameError
from autoagent_mcp.models.run import Excluded, Run, RunKind
from autoagent_mcp.models.run import Progress as RunProgress
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Trial
from autoagent_mcp.run.bench import Bench, open_bench
from autoagent_mcp.run.run import RunRequest, build_suite, measure
from autoagent_mcp.workspace import Workspace

_SOUND = "sound"
_UNCHECKED = "[yellow]no solution: unchecked"


async def check_tasks(workspace: Workspace, names: tuple[str, ...]) -> bool:
    """Check the named tasks, or all, print a table and return whether each is sound or excluded for a named reason.

    Raises:
        UnknownNameError: There is no such task.
        SandboxError: This machine cannot make sandboxes, or its disk is full.
    """
    settings = config_file.load(workspace.folder)
    tasks, broken = task_files.load_all(workspace.folder / settings.tasks_dir)
    for name in names:
        if name not in {task.name for task in tasks} | {one.task for one in broken}:
            raise UnknownNameError("task", name, [task.name for task in tasks])
    tasks = tuple(task for task in tasks if not names or task.name in names)
    broken = tuple(one for one in broken if not names or one.task in names)
    console = Console()
    with tempfile.TemporaryDirectory(prefix="autoagent-check-") as scratch:
        async with open_bench(Workspace(folder=Path(scratch)), settings) as bench:
            able, suite = build_suite(tasks, broken, attempts=1, config=settings, backend=bench.backend)
            solvable = tuple(task for task in able if (task.folder / "solution" / "solve.sh").is_file())
            oracle = await _measure(console, bench, "oracle", solvable, suite.excluded)
            nop = await _measure(console, bench, "nop", able, suite.excluded)
    return _show(console, tasks, oracle, nop, broken)


async def _measure(
    console: Console, bench: Bench, who: str, tasks: tuple[Task, ...], excluded: Sequence[Excluded]
) -> Run:
    _, suite = build_suite(tasks, excluded, attempts=1, config=bench.config, backend=bench.backend)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(who, total=len(tasks))

        def report(progress: RunProgress) -> None:
            bars.update(bar, completed=progress.done)

        request = RunRequest(
            id=who, kind=RunKind.SUITE, description=who, candidate=who, files={}, tasks=tasks, suite=suite
        )
        run = await measure(request, bench, report)
    if run.error:
        raise SandboxError(run.error, "Nothing more was checked.")
    return run


def _show(console: Console, tasks: Sequence[Task], oracle: Run, nop: Run, broken: Sequence[Excluded]) -> bool:
    table = Table("task", "solution", "nothing", "verdict")
    solved = {trial.task: trial for trial in oracle.trials}
    idle = {trial.task: trial for trial in nop.trials}
    refused = {one.task: "; ".join(one.reasons) for one in oracle.suite.excluded}
    verdicts = {task.name: _verdict(solved.get(task.name), idle[task.name]) for task in tasks if task.name in idle}
    for task in tasks:
        if task.name in verdicts:
            trials = (solved.get(task.name), idle[task.name])
            table.add_row(task.name, *map(_say, trials), verdicts[task.name])
        else:
            table.add_row(task.name, "", "", f"[yellow]not here: {escape(refused[task.name])}")
        for notice in task.notices:
            table.add_row("", "", "", f"[dim]{escape(notice)}")
    for one in broken:
        table.add_row(one.task, "", "", f"[red]broken: {escape('; '.join(one.reasons))}")
    console.print(table)
    sound = list(verdicts.values()).count(_SOUND)
    unable = len(tasks) - len(verdicts)
    console.print(f"{sound} of {len(verdicts)} tasks that can run here are sound; {unable} cannot run here.")
    return not broken and all(verdict in {_SOUND, _UNCHECKED} for verdict in verdicts.values())


def _verdict(solved: Trial | None, idle: Trial) -> str:
    if solved is None:
        return _UNCHECKED
    if solved.passed and idle.counts and not idle.passed:
        return _SOUND
    details = [trial.failure.detail for trial in (solved, idle) if trial.failure]
    return f"[red]broken: {escape(details[0])}" if details else "[red]broken"


def _say(trial: Trial | None) -> str:
    if trial is None:
        return ""
    if trial.failure is not None:
        return f"{trial.reward} ({trial.failure.cause.value})"
    return f"{trial.reward:g}" if trial.reward is not None else "none"
