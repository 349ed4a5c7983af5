"""What sandboxes a task gets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from autoagent_mcp.config import SandboxSettings
from autoagent_mcp.models.task import EnvironmentConfig, NetworkMode, Step, Task
from autoagent_mcp.sandbox.base import Image, Limits, Network, SandboxSpec
from autoagent_mcp.task import resolve_env


def of_agent(task: Task, image: Image, ours: SandboxSettings, name: str) -> SandboxSpec:
    """Return the sandbox of the agent, and of the verifiers that share it.

    Raises:
        TaskError: Its env needs a variable that is not set here.
    """
    phases: list[NetworkMode | None] = []
    for step in task.steps:
        phases.append(step.agent.network_mode)
        if step.verifier_image is None:
            phases.append(step.verifier.network_mode)
    return _spec(task.config.environment, image, ours, name, phases)


def of_verifier(
    step: Step, environment: EnvironmentConfig, image: Image, ours: SandboxSettings, name: str
) -> SandboxSpec:
    """Return the sandbox of a verifier of its own.

    Raises:
        TaskError: Its env needs a variable that is not set here.
    """
    return _spec(environment, image, ours, name, (step.verifier.network_mode,))


def network_of(mode: NetworkMode) -> Network:
    """Return what a phase's network is for a sandbox; who asks for an allow-list is refused before."""
    return "public" if mode == "public" else "none"


def workdir_of(spec: SandboxSpec) -> PurePosixPath:
    """Return where a sandbox's commands run."""
    return PurePosixPath("/") / (spec.workdir or spec.image.workdir)


def _spec(
    asked: EnvironmentConfig, image: Image, ours: SandboxSettings, name: str, phases: Iterable[NetworkMode | None]
) -> SandboxSpec:
    limits = Limits(
        cpus=asked.cpus,
        memory_mb=asked.memory_mb or ours.memory_mb,
        storage_mb=asked.storage_mb or ours.storage_mb,
        processes=ours.processes,
    )
    return SandboxSpec(
        name=name,
        image=image,
        env=resolve_env(asked.env),
        workdir=PurePosixPath(asked.workdir) if asked.workdir else None,
        limits=limits,
        network=network_of(asked.network_mode),
        can_use_network="public" in (asked.network_mode, *phases),
    )
