"""The settings of a workspace: autoagent.toml, checked.

Keys that are not known are refused by name, with the nearest known one.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Literal

import tomli
from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from autoagent_mcp.errors import ConfigError
from autoagent_mcp.models.base import Frozen

FILE_NAME = "autoagent.toml"
_OUTPUT_HINT = "Correct it and call again."


class ModelSettings(Frozen):
    """The model that the task agent uses; pinned for the whole workspace."""

    provider: Literal["openai", "anthropic", "openai-compatible", "local"] = "local"
    name: str = "smollm2-135m-instruct"
    base_url: str | None = None
    """Only for `openai-compatible`: the URL that ends before `/chat/completions`."""
    api_key_env: str | None = None
    """The server's environment variable that holds the key; OPENAI_API_KEY or ANTHROPIC_API_KEY where not set."""
    effort: str | None = None
    """Reasoning effort, sent with every call; what a harness asks for is overruled."""
    service_tier: str | None = None
    temperature: float | None = None
    """Sent with every call where set; what a harness asks for is overruled."""

    @model_validator(mode="after")
    def _needs_a_place(self) -> Self:
        if self.provider == "openai-compatible" and not self.base_url:
            raise ValueError("the provider 'openai-compatible' needs a base_url")
        return self


class TrialSettings(Frozen):
    """What one trial may take."""

    timeout_sec: float = Field(default=600, gt=0)
    """For the harness, where the task sets no limit of its own."""
    max_turns: int = Field(default=100, gt=0)
    """Model calls."""
    max_tokens: int = Field(default=1_000_000, gt=0)
    """Prompt and completion tokens together."""
    max_cost_usd: float = Field(default=5.0, gt=0)


class RunSettings(Frozen):
    """How trials run."""

    backend: Literal["auto", "bubblewrap"] = "auto"
    concurrency: int = Field(default=0, ge=0)
    """Trials side by side; 0 means twice the number of cores."""
    attempts: int = Field(default=1, ge=1)
    """Trials per task in a suite run."""


class SandboxSettings(Frozen):
    """Limits of a task sandbox, where the task sets none."""

    memory_mb: int = Field(default=2048, ge=64)
    storage_mb: int = Field(default=1024, ge=16)
    processes: int = Field(default=512, ge=16)


class DecisionSettings(Frozen):
    """What counts as a pass and which rule decides."""

    rule: Literal["seed"] = "seed"
    passed_at: float = 1.0
    """A trial passes with a reward of at least this."""


class Config(Frozen):
    """autoagent.toml."""

    tasks_dir: str = "tasks"
    model: ModelSettings = ModelSettings()
    trial: TrialSettings = TrialSettings()
    run: RunSettings = RunSettings()
    sandbox: SandboxSettings = SandboxSettings()
    decision: DecisionSettings = DecisionSettings()

    @property
    def concurrency(self) -> int:
        """Trials side by side."""
        return self.run.concurrency or 2 * (os.cpu_count() or 1)


def load(folder: Path) -> Config:
    """Read `autoagent.toml` in `folder`; a missing file means the defaults.

    Raises:
        ConfigError: The file is no TOML, or a key or value is not known.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return Config()
    try:
        return Config.model_validate(tomli.loads(path.read_text(encoding="utf-8")))
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{FILE_NAME} is not valid TOML: {error}.", _OUTPUT_HINT) from error
    except ValidationError as error:
        raise ConfigError(f"{FILE_NAME} cannot be used: {_complaint(error)}.", _OUTPUT_HINT) from error


def _complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"{place}: {first['msg']}"
    nearest = difflib.get_close_matches(place, _KNOWN, n=1, cutoff=0.5)
    return f"{place} is no known key" + (f"; the nearest is {nearest[0]}" if nearest else "")


def _keys(table: type[Frozen], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, field in table.model_fields.items():
        found.append(f"{prefix}{name}")
        if isinstance(field.annotation, type) and issubclass(field.annotation, Frozen):
            found += _keys(field.annotation, f"{prefix}{name}.")
    return found


_KNOWN = _keys(Config)
