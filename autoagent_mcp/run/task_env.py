"""What the `env` tables of a task hand out: the server's own variables, but never a model's key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from autoagent_mcp.config import Config
from autoagent_mcp.errors import TaskError
from autoagent_mcp.gateway.upstream import PROVIDERS
from autoagent_mcp.models.task import Step, Task
from autoagent_mcp.task import names_variable, resolve_env

JUDGE_VARIABLES = frozenset({"OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"})
"""A [verifier.env] that sets one of these asks for a model; what it says there is never taken from this machine."""


def own_env(step: Step) -> dict[str, str]:
    """Return what [verifier.env] says beside the variables that lead to a model."""
    return {key: value for key, value in step.verifier.env.items() if key not in JUDGE_VARIABLES}


def complaints(task: Task, config: Config) -> tuple[str, ...]:
    """Say which values cannot be given to a task: variables that are not set here, and keys."""
    found: dict[str, None] = {}
    for place, env in _tables(task):
        for key, value in env.items():
            if any(names_variable(value, variable) for variable in _keys(config)):
                found[f"task.toml: {place} {key} = {value!r} would hand out the key of the model"] = None
        try:
            resolve_env(env)
        except TaskError as error:
            found[f"task.toml: {place}: {error}"] = None
    return tuple(found)


def _tables(task: Task) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield "[solution.env]", task.config.solution.env
    for source in task.image_sources:
        yield "[environment.env]", source.environment.env
    for step in task.steps:
        yield "[verifier.env]", own_env(step)


def _keys(config: Config) -> set[str]:
    models = [model for model in (config.model, config.judge) if model is not None]
    return {key for model in models if (key := model.api_key_env or PROVIDERS[model.provider].key_env)}
