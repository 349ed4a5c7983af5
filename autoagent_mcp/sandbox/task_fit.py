"""What of a task's settings bubblewrap can honour."""

from __future__ import annotations

from collections.abc import Iterator

from autoagent_mcp.models.task import Task

_ROOT = {None, "root", "0", 0}


def refusals(task: Task) -> tuple[str, ...]:
    """Return what of task.toml needs another backend, each by its key."""
    return tuple(f"task.toml: {complaint}" for complaint in _complaints(task))


def _complaints(task: Task) -> Iterator[str]:
    config = task.config
    environment, verifier = config.environment, config.verifier
    is_separate = verifier.environment_mode == "separate" or verifier.environment is not None
    yield from _where(config.steps, "[[steps]] asks for several steps in one sandbox, which is not supported")
    yield from _where(is_separate, "[verifier] asks for a separate environment, which is not supported")
    yield from _where(environment.gpus, "[environment] gpus needs Docker")
    yield from _where(environment.tpu, "[environment.tpu] is not supported")
    yield from _where(environment.os != "linux", f"[environment] os = {environment.os!r} is not supported")
    yield from _where(environment.mcp_servers, "[[environment.mcp_servers]] is not supported")
    yield from _where(environment.healthcheck, "[environment.healthcheck] is not supported")
    for place, mode in _networks(task):
        yield from _where(mode == "allowlist", f"[{place}] network_mode = 'allowlist' needs Docker")
    for place, user in (("agent", config.agent.user), ("verifier", verifier.user)):
        yield from _where(user not in _ROOT, f"[{place}] user = {user!r} needs Docker")
    for collect in verifier.collect:
        is_other = collect.service != "main" or collect.user not in _ROOT
        yield from _where(is_other, "[[verifier.collect]] of another service or user needs Docker")


def _where(condition: object, complaint: str) -> tuple[str, ...]:
    return (complaint,) if condition else ()


def _networks(task: Task) -> tuple[tuple[str, str | None], ...]:
    config = task.config
    return (
        ("environment", config.environment.network_mode),
        ("agent", config.agent.network_mode),
        ("verifier", config.verifier.network_mode),
    )


def notices(task: Task, base: str) -> tuple[str, ...]:
    """Return what is different here from what the task asks."""
    environment = task.config.environment
    found = [f"runs on this machine's own system: {base or 'the base image'} is a label here"]
    if any(mode == "public" for _place, mode in _networks(task)):
        found.append("asks for a network (network_mode = 'public', the default) and runs offline")
    if environment.cpus is not None:
        found.append(f"asks for {environment.cpus:g} cpus, which is not enforced")
    return tuple(found)
