"""What of a task's settings bubblewrap cannot honour, and Docker can."""

from __future__ import annotations

from collections.abc import Iterator

from autoagent_mcp.models.task import NetworkMode, Step, Task

_ROOT = {None, "root", "0", 0}


def refusals(task: Task) -> tuple[str, ...]:
    """Return what of task.toml "needs Docker", each by its key."""
    found = [complaint for step in task.steps for complaint in _of_step(step)]
    return tuple(f"task.toml: {complaint}" for complaint in dict.fromkeys(found))


def _of_step(step: Step) -> Iterator[str]:
    users = [("[agent]", step.agent.user), ("[verifier]", step.verifier.user)]
    users += [("[[verifier.collect]]", collect.user) for collect in step.verifier.collect]
    for place, user in users:
        if user not in _ROOT:
            yield f"{place} user = {user!r} needs Docker"


def _networks(task: Task) -> Iterator[NetworkMode | None]:
    yield task.config.environment.network_mode
    for step in task.steps:
        yield step.agent.network_mode
        yield step.verifier.network_mode
        if step.verifier_image is not None:
            yield step.verifier_image.environment.network_mode


def notices(task: Task, base: str) -> tuple[str, ...]:
    """Return what is different here from what the task asks."""
    environment = task.config.environment
    found = [f"runs on this machine's own system: {base or 'the base image'} is a label here"]
    if "public" in _networks(task):
        found.append("asks for a network (network_mode = 'public', the default) and runs offline")
    if environment.cpus is not None:
        found.append(f"asks for {environment.cpus:g} cpus, which is not enforced")
    return tuple(found)
