"""The tasks as they are now on disk, and the suites made of them."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from autoagent_mcp import task as task_room
from autoagent_mcp.errors import TaskError, UnknownNameError
from autoagent_mcp.models.run import Prediction, RunKind, Suite
from autoagent_mcp.models.task import Task
from autoagent_mcp.run.bench import Bench
from autoagent_mcp.run.suite import build_suite

_disk = anyio.CapacityLimiter(2)


class Suites:
    """What can be measured."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.tasks: tuple[Task, ...] = ()
        """Those of the whole suite."""
        self.usable: tuple[Task, ...] = ()
        """All visible ones, also those that cannot run here."""
        self.usable_hidden: tuple[Task, ...] = ()
        self.whole = Suite(tasks=(), fingerprint="", backend=bench.backend.name, model="")

    async def load(self) -> None:
        """Read the tasks from disk. Raises: TaskError: there is no folder with tasks."""
        config, backend = self._bench.config, self._bench.backend

        def load() -> None:
            tasks, excluded = task_room.load_visible(self._bench.workspace.folder, config)
            self.usable, self.usable_hidden = tasks, task_room.load_hidden(self._bench.workspace.folder, config).usable
            self.tasks, self.whole = build_suite(
                tasks, excluded, attempts=config.run.attempts, config=config, backend=backend
            )

        await anyio.to_thread.run_sync(load, limiter=_disk)

    @property
    def scored(self) -> tuple[str, ...]:
        """Names of the tasks that count: all but those that nobody can solve."""
        return tuple(task.name for task in self.tasks if not task.is_impossible)

    def require(self) -> None:
        """See that there is something to measure. Raises: TaskError: no task can run here."""
        if not self.tasks:
            reasons = [f"{one.task}: {'; '.join(one.reasons)}" for one in self.whole.excluded]
            raise TaskError(
                f"There is no task that can run here{f' ({reasons[0]})' if reasons else ''}.",
                "See list_tasks for the reasons, or add a task.",
            )

    def spot(self, names: Sequence[str], *, attempts: int) -> tuple[tuple[Task, ...], Suite]:
        """Make a suite of a few tasks.

        Raises:
            UnknownNameError: There is no such task.
            TaskError: One of them cannot run here.
        """
        chosen = [self._task(name) for name in sorted(set(names))]
        config, backend = self._bench.config, self._bench.backend
        return build_suite(chosen, (), attempts=attempts, config=config, backend=backend, kind=RunKind.SPOT)

    def prediction(self, fixed: Sequence[str], broken: Sequence[str]) -> Prediction | None:
        """Return what is expected of a run of the whole suite; None where nothing is.

        Raises:
            UnknownNameError: There is no such task.
            TaskError: One of them cannot run here.
        """
        named = [tuple(self._task(name).name for name in dict.fromkeys(names)) for names in (fixed, broken)]
        return Prediction(fixed=named[0], broken=named[1]) if any(named) else None

    def _task(self, name: str) -> Task:
        able = {task.name: task for task in self.tasks}
        if name in able:
            return able[name]
        for excluded in self.whole.excluded:
            if excluded.task == name:
                reasons = "; ".join(excluded.reasons).rstrip(".")
                raise TaskError(f"Task {name} cannot run here: {reasons}.", "Choose another.")
        raise UnknownNameError("task", name, able)
