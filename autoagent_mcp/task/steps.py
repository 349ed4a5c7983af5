"""What task.toml says of each step, with what it inherits, as Harbor resolves it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoagent_mcp.models.task import (
    CONVENTION,
    ENVIRONMENT,
    AgentConfig,
    Artifact,
    EnvironmentConfig,
    ImageSource,
    Step,
    StepConfig,
    TaskConfig,
    VerifierConfig,
)

_RECIPES = ("Dockerfile", "docker-compose.yaml")


def resolve_step(root: Path, config: TaskConfig, own: StepConfig | None, instruction: str) -> Step:
    """Return a step; `own` is its table, None for the only step of a task without [[steps]]."""
    artifacts = (*config.artifacts, *(own.artifacts if own else ()))
    return Step(
        name=own.name if own else "",
        folder=f"steps/{own.name}" if own else "",
        instruction=instruction,
        agent=_agent(config.agent, own.agent if own else config.agent),
        verifier=_verifier(config.verifier, own.verifier) if own else config.verifier,
        verifier_image=_verifier_image(root, config, own),
        healthcheck=own.healthcheck if own else None,
        min_reward=_min_reward(own) if own else {},
        artifacts=_with_convention(artifacts),
    )


def _agent(task: AgentConfig, own: AgentConfig) -> AgentConfig:
    return AgentConfig(
        timeout_sec=own.timeout_sec if own.timeout_sec is not None else task.timeout_sec,
        user=own.user if own.user is not None else task.user,
        network_mode=own.network_mode or task.network_mode,
    )


def _verifier(task: VerifierConfig, own: VerifierConfig) -> VerifierConfig:
    """Merge two; the time is the step's own, which has a default and so never is the task's, as under Harbor."""
    merged = {
        "env": {**task.env, **own.env},
        "user": own.user if own.user is not None else task.user,
        "network_mode": own.network_mode or task.network_mode,
        "collect": (*task.collect, *own.collect),
    }
    return own.model_copy(update=merged)


def _min_reward(own: StepConfig) -> dict[str, float]:
    if own.min_reward is None:
        return {}
    return own.min_reward if isinstance(own.min_reward, dict) else {"reward": own.min_reward}


def _with_convention(entries: Sequence[str | Artifact]) -> tuple[Artifact, ...]:
    artifacts = tuple(Artifact(source=entry) if isinstance(entry, str) else entry for entry in entries)
    if any(one.source.rstrip("/") == CONVENTION and one.service in {None, "main"} for one in artifacts):
        return artifacts
    return (Artifact(source=CONVENTION), *artifacts)


def _verifier_image(root: Path, config: TaskConfig, own: StepConfig | None) -> ImageSource | None:
    """Find where a separate verifier's image comes from: the step's tables and tests, the task's, the agent's image."""
    is_separate = own.verifier.is_separate if own else None
    if is_separate is None:
        is_separate = config.verifier.is_separate
    if not is_separate:
        return None
    step_environment = own.verifier.environment if own else None
    wanted = step_environment or config.verifier.environment or config.environment
    tables = [(config.verifier.environment, "tests")]
    if own is not None:
        tables.insert(0, (step_environment, f"steps/{own.name}/tests"))
    for table, folder in tables:
        if table is not None and table.docker_image:
            return _source(folder, wanted, table.docker_image)
        if any((root / folder / name).is_file() for name in _RECIPES):
            return _source(folder, wanted, None)
    return _source(ENVIRONMENT, wanted, config.environment.docker_image)


def _source(folder: str, wanted: EnvironmentConfig, docker_image: str | None) -> ImageSource:
    return ImageSource(folder=folder, environment=wanted.model_copy(update={"docker_image": docker_image}))
