"""A run beside the incumbent's, task by task. Pure."""

from __future__ import annotations

from autoagent_mcp.models.experiment import Comparison
from autoagent_mcp.models.run import Score


def compare(before: Score, now: Score, *, complexity_before: int, complexity_now: int) -> Comparison:
    """Compare two scores on the tasks that both have.

    A spot check has a few of the tasks and attempts of its own, so a task counts as solved or broken by the share of
    its trials that passed.
    """
    earlier = {task.task: task for task in before.tasks}
    shares = [
        (task.task, earlier[task.task].passed / earlier[task.task].attempts, task.passed / task.attempts)
        for task in now.tasks
        if task.task in earlier
    ]
    return Comparison(
        solved=tuple(name for name, old, new in shares if new > old),
        broken=tuple(name for name, old, new in shares if new < old),
        passed_before=sum(earlier[name].passed for name, _, _ in shares),
        passed_now=now.passed,
        avg_before=before.avg_score,
        avg_now=now.avg_score,
        complexity_before=complexity_before,
        complexity_now=complexity_now,
    )
