"""What of a task's settings bubblewrap can honour."""

from __future__ import annotations

from collections.abc import Iterator

from autoagent_mcp.models.task import EnvironmentConfig, NetworkMode, Step, Task

_ROOT = {None, "root", "0", 0}
_MAIN = {None, "main"}


def refusals(task: Task) -> tuple[str, ...]:
    """Return what of task.toml cannot be honoured, each by its key; "needs Docker" where that backend can."""
    found = [complaint for source in task.image_sources for complaint in _of_environment(source.environment)]
    found += [complaint for step in task.steps for complaint in _of_step(step)]
    found += [
        f"[{place}] network_mode = 'allowlist': a network is never open for some hosts only"
        for place, mode in _networks(task)
        if mode == "allowlist"
    ]
    return tuple(f"task.toml: {complaint}" for complaint in dict.fromkeys(found))


def _of_environment(environment: EnvironmentConfig) -> Iterator[str]:
    yield from _where(environment.gpus, f"[environment] gpus = {environment.gpus}: no GPU is handed to a sandbox")
    yield from _where(environment.tpu, "[environment.tpu]: no TPU is handed to a sandbox")
    yield from _where(environment.os != "linux", f"[environment] os = {environment.os!r}: only Linux tasks are run")


def _of_step(step: Step) -> Iterator[str]:
    for place, user in (("agent", step.agent.user), ("verifier", step.verifier.user)):
        yield from _where(user not in _ROOT, f"[{place}] user = {user!r} needs Docker")
    for collect in step.verifier.collect:
        yield from _of_service("[[verifier.collect]]", collect.service)
        yield from _where(collect.user not in _ROOT, f"[[verifier.collect]] user = {collect.user!r} needs Docker")
    for artifact in step.artifacts:
        yield from _of_service("artifacts", artifact.service)


def _of_service(place: str, service: str | None) -> tuple[str, ...]:
    return _where(service not in _MAIN, f"{place} service = {service!r}: there is no service but main")


def _where(condition: object, complaint: str) -> tuple[str, ...]:
    return (complaint,) if condition else ()


def _networks(task: Task) -> Iterator[tuple[str, NetworkMode | None]]:
    yield "environment", task.config.environment.network_mode
    for step in task.steps:
        yield "agent", step.agent.network_mode
        yield "verifier", step.verifier.network_mode
        if step.verifier_image is not None:
            yield "verifier.environment", step.verifier_image.environment.network_mode


def notices(task: Task, base: str) -> tuple[str, ...]:
    """Return what is different here from what the task asks."""
    environment = task.config.environment
    found = [f"runs on this machine's own system: {base or 'the base image'} is a label here"]
    if any(mode == "public" for _place, mode in _networks(task)):
        found.append("asks for a network (network_mode = 'public', the default) and runs offline")
    if environment.cpus is not None:
        found.append(f"asks for {environment.cpus:g} cpus, which is not enforced")
    return tuple(found)
