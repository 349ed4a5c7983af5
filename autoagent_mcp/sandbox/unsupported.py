"""What of a task no backend can honour."""

from __future__ import annotations

from collections.abc import Iterator

from autoagent_mcp.models.task import Artifact, EnvironmentConfig, PhaseNetwork, Task, VerifierConfig

COMPOSE = "docker-compose.yaml"
DOCKERFILE = "Dockerfile"
_MAIN = {None, "main"}


def refusals(task: Task) -> tuple[str, ...]:
    """Return what of the task's settings and folders cannot be honoured, each by its place, with the reason."""
    found = (*_environment_complaints(task), *_network_complaints(task), *_service_complaints(task))
    return (*(f"task.toml: {complaint}" for complaint in found), *_folder_complaints(task))


def environments(task: Task) -> Iterator[tuple[str, EnvironmentConfig]]:
    """Yield each environment that the task's settings describe, after its place."""
    yield "[environment]", task.config.environment
    for place, verifier in _verifiers(task):
        if verifier.environment is not None:
            yield place.replace("]", ".environment]"), verifier.environment


def _verifiers(task: Task) -> Iterator[tuple[str, VerifierConfig]]:
    yield "[verifier]", task.config.verifier
    for step in task.config.steps:
        yield f"step {step.name!r} [verifier]", step.verifier


def _phases(task: Task) -> Iterator[tuple[str, PhaseNetwork]]:
    yield "[agent]", task.config.agent
    for step in task.config.steps:
        yield f"step {step.name!r} [agent]", step.agent
    yield from _verifiers(task)


def _environment_complaints(task: Task) -> Iterator[str]:
    for place, environment in environments(task):
        if environment.gpus:
            yield f"{place} gpus = {environment.gpus}: no GPU is handed to a sandbox"
        if environment.tpu is not None:
            yield f"{place} tpu: no TPU is handed to a sandbox"
        if environment.os != "linux":
            yield f"{place} os = {environment.os!r}: only Linux tasks are run"


def _network_complaints(task: Task) -> Iterator[str]:
    for place, network in (*environments(task), *_phases(task)):
        if network.network_mode == "allowlist":
            yield f"{place} network_mode = 'allowlist': a network can be open or closed, but not open for some hosts"


def _service_complaints(task: Task) -> Iterator[str]:
    """A service other than main would come from a compose file."""
    for place, verifier in _verifiers(task):
        for collect in verifier.collect:
            if collect.service not in _MAIN:
                yield f"{place} collect of service {collect.service!r}: there is no service but main"
    for artifact in (*task.config.artifacts, *(one for step in task.config.steps for one in step.artifacts)):
        if isinstance(artifact, Artifact) and artifact.service not in _MAIN:
            yield f"artifact {artifact.source!r} of service {artifact.service!r}: there is no service but main"


def _folder_complaints(task: Task) -> Iterator[str]:
    """Only folders that images are made from: elsewhere a compose file is data."""
    separate = [step.verifier_image for step in task.steps if step.verifier_image is not None]
    for source in {source.folder: source for source in (*separate, task.image_source)}.values():
        folder = task.folder / source.folder
        if (folder / COMPOSE).exists():
            yield f"{source.folder}/{COMPOSE}: a task is one sandbox here, and compose files are not run"
        elif source.environment.docker_image is None and not (folder / DOCKERFILE).exists():
            yield f"{source.folder}/{DOCKERFILE} is missing, and no docker_image is named"
