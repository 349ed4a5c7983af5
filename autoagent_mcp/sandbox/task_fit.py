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
    environment = config.environment
    if config.steps:
        yield "[[steps]] asks for several steps in one sandbox, which is not supported"
    if config.verifier.environment_mode == "separate" or config.verifier.environment is not None:
        yield "[verifier] asks for a separate environment, which is not supported"
    for place, mode in (
        ("environment", environment.network_mode),
        ("agent", config.agent.network_mode),
        ("verifier", config.verifier.network_mode),
    ):
        if mode == "allowlist":
            yield f"[{place}] network_mode = 'allowlist' needs Docker"
    if environment.gpus:
        yield "[environment] gpus needs Docker"
    if environment.tpu is not None:
        yield "[environment.tpu] is not supported"
    if environment.os != "linux":
        yield f"[environment] os = {environment.os!r} is not supported"
    if environment.mcp_servers:
        yield "[[environment.mcp_servers]] is not supported"
    for place, user in (("agent", config.agent.user), ("verifier", config.verifier.user)):
        if user not in _ROOT:
            yield f"[{place}] user = {user!r} needs Docker"
    for collect in config.verifier.collect:
        if collect.service != "main" or collect.user not in _ROOT:
            yield "[[verifier.collect]] of another service or user needs Docker"


def notices(task: Task, base: str) -> tuple[str, ...]:
    """Return what is different here from what the task asks."""
    environment = task.config.environment
    found = [f"runs on this machine's own system: {base or 'the base image'} is a label here"]
    phases = (environment.network_mode, task.config.agent.network_mode, task.config.verifier.network_mode)
    if "public" in phases:
        found.append("asks for a network (network_mode = 'public', the default) and runs offline")
    if environment.cpus is not None:
        found.append(f"asks for {environment.cpus:g} cpus, which is not enforced")
    return tuple(found)
