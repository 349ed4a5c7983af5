"""Which tasks are measured together, and what makes two runs of them comparable."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence

from autoagent_mcp._text import named
from autoagent_mcp.config import Config
from autoagent_mcp.models.run import Excluded, RunKind, Suite
from autoagent_mcp.models.task import Task
from autoagent_mcp.run import judge, task_env
from autoagent_mcp.sandbox.base import Backend

_NAMED = 2


def build_suite(
    tasks: Sequence[Task],
    excluded: Sequence[Excluded],
    *,
    attempts: int,
    config: Config,
    backend: Backend,
    kind: RunKind = RunKind.SUITE,
) -> tuple[tuple[Task, ...], Suite]:
    """Choose the tasks that this backend can run and name the others, each with its reasons."""
    refusals = {task.name: _refusals(task, config, backend) for task in tasks}
    able = tuple(task for task in tasks if not refusals[task.name])
    out = [*excluded, *(Excluded(task=name, reasons=why) for name, why in refusals.items() if why)]
    return able, Suite(
        tasks=tuple(task.name for task in able),
        attempts=attempts,
        fingerprint=fingerprint(able, attempts=attempts, config=config, backend=backend.name, kind=kind),
        backend=backend.name,
        model=f"{config.model.provider}/{config.model.name}",
        excluded=tuple(sorted(out, key=lambda one: one.task)),
        notices=_notices(able, backend),
    )


def fingerprint(tasks: Sequence[Task], *, attempts: int, config: Config, backend: str, kind: RunKind) -> str:
    """Hash all that makes two runs comparable.

    That is the tasks' content, the attempts, the models with their pins, the backend, the limits and what counts as a
    pass; and the kind, since a spot check of all tasks is none the less a spot check.
    """
    same = {
        "tasks": {task.name: task.digest for task in tasks},
        "is_spot": kind is RunKind.SPOT,
        "attempts": attempts,
        "backend": backend,
        "config": config.model_dump(mode="json", include={"model", "judge", "trial", "sandbox", "harness"}),
        "passes": config.decision.model_dump(mode="json", include={"reward_key", "passed_at"}),
    }
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def _refusals(task: Task, config: Config, backend: Backend) -> tuple[str, ...]:
    own = (*task_env.complaints(task, config), *judge.complaints(task, config.judge))
    return (*backend.refusals(task), *own)


def _notices(tasks: Sequence[Task], backend: Backend) -> tuple[str, ...]:
    """Name each oddity once, with the tasks that have it."""
    having: defaultdict[str, list[str]] = defaultdict(list)
    for task in tasks:
        for notice in (*task.notices, *backend.notices(task)):
            having[notice].append(task.name)
    return tuple(f"{named(names, _NAMED)}: {notice}" for notice, names in sorted(having.items()))
