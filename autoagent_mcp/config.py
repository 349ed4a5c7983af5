"""The settings of a workspace: autoagent.toml, checked.

Keys that are not known are refused by name, with the nearest known one.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Literal, get_args

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
    seed: int | None = None
    """Each call gets a seed drawn from this, its run, its trial and its number: the same runs of the same workspace
    are answered the same by a provider that keeps to it, as `local` does. Responses has a seed only at `local`."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.provider == "openai-compatible" and not self.base_url:
            raise ValueError("the provider 'openai-compatible' needs a base_url")
        if self.provider == "anthropic" and self.seed is not None:
            raise ValueError("the provider 'anthropic' takes no seed")
        return self


class Spending(Frozen):
    """What model calls may take."""

    max_turns: int = Field(default=100, gt=0)
    """Model calls."""
    max_tokens: int = Field(default=1_000_000, gt=0)
    """Prompt and completion tokens together."""
    max_cost_usd: float = Field(default=5.0, gt=0)

    def times(self, count: int) -> Spending:
        """Return what so many may take together."""
        return Spending(
            max_turns=self.max_turns * count, max_tokens=self.max_tokens * count, max_cost_usd=self.max_cost_usd * count
        )


class TrialSettings(Spending):
    """What one trial may take."""

    timeout_sec: float = Field(default=600, gt=0)
    """For the harness, where the task sets no limit of its own."""


class JudgeBudget(Spending):
    """What the model calls of one verification may take."""

    max_turns: int = Field(default=50, gt=0)
    max_tokens: int = Field(default=500_000, gt=0)
    max_cost_usd: float = Field(default=1.0, gt=0)


class JudgeSettings(ModelSettings):
    """The model that a verifier asks where its task wants one; pinned like the task agent's."""

    budget: JudgeBudget = JudgeBudget()


class RunSettings(Frozen):
    """How trials run."""

    backend: Literal["auto", "docker", "bubblewrap"] = "auto"
    """`auto` is Docker where an engine answers, else bubblewrap; what the baseline took stays."""
    concurrency: int = Field(default=0, ge=0)
    """Trials side by side; 0 means twice the number of cores."""
    attempts: int = Field(default=1, ge=1)
    """Trials per task in a suite run."""
    max_cost_usd: float | None = Field(default=None, gt=0)
    """For all model calls of a run, those of verifiers and of trials tried again too."""
    max_tokens: int | None = Field(default=None, gt=0)
    """The same in prompt and completion tokens together."""


class BudgetSettings(Frozen):
    """What all runs of the workspace may take together; where nothing is set there is no limit.

    At a limit no new trial starts and those under way end; raising it lets the run go on where it stopped.
    """

    max_experiments: int | None = Field(default=None, gt=0)
    max_cost_usd: float | None = Field(default=None, gt=0)
    """For the model calls of all runs; not kept where the model's price is not known."""
    max_tokens: int | None = Field(default=None, gt=0)
    """The same in prompt and completion tokens together."""
    max_hours: float | None = Field(default=None, gt=0)
    """In which runs go on, added up."""


class SandboxSettings(Frozen):
    """Limits of a task sandbox, where the task sets none."""

    memory_mb: int = Field(default=2048, ge=64)
    storage_mb: int = Field(default=1024, ge=16)
    processes: int = Field(default=512, ge=16)


class HarnessSettings(Frozen):
    """Where the harness runs."""

    where: Literal["own", "task"] = "own"
    """`own` is a sandbox for all trials of a run, apart from the tasks'; `task` is each task's own sandbox, for agents
    whose tools act on local files: its image must have Python 3.10 or newer."""
    image: str = "python:3.11-slim"
    """What its sandbox is made from on Docker: an image with Python 3.10 or newer and pip."""


class DecisionSettings(Frozen):
    """What counts as a pass and which rule decides."""

    rule: Literal["evidence", "seed"] = "evidence"
    """`evidence` keeps what fresh pairs of candidate and incumbent prove; `seed` what passed more trials in one run."""
    counts: Literal["passed", "reward"] = "passed"
    """What `evidence` compares: whether a trial passed, or its reward, where that says more; it counts from 0 to 1."""
    reward_key: str = "reward"
    """Which key of a verifier's reward.json counts; the only one counts, whatever its name."""
    passed_at: float = 1.0
    """A trial passes with a reward of at least this."""


class ServerSettings(Frozen):
    """How the server speaks to its clients."""

    wait_sec: float | None = Field(default=None, ge=0)
    """For how long a call waits for a run, where it does not say; left out: what its client is known to bear."""
    max_wait_sec: float | None = Field(default=None, ge=0)
    """For how long it waits at most, whatever it says; left out: the same."""


class SplitSettings(Frozen):
    """Which tasks are hidden: whether a change does worse on them is all that is ever told of them."""

    hidden_dir: str | None = None
    """A folder with tasks outside the workspace; relative to the workspace, or below `~`."""
    hidden_fraction: float | None = Field(default=None, gt=0, lt=1)
    """About how many of the tasks in `tasks_dir` are hidden, in name only: each is chosen by its name and the seed."""
    seed: int = 0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.hidden_dir is None) == (self.hidden_fraction is None):
            raise ValueError("it needs either a hidden_dir or a hidden_fraction")
        return self


class Config(Frozen):
    """autoagent.toml."""

    tasks_dir: str = "tasks"
    model: ModelSettings = ModelSettings()
    judge: JudgeSettings | None = None
    trial: TrialSettings = TrialSettings()
    run: RunSettings = RunSettings()
    budget: BudgetSettings = BudgetSettings()
    sandbox: SandboxSettings = SandboxSettings()
    harness: HarnessSettings = HarnessSettings()
    decision: DecisionSettings = DecisionSettings()
    server: ServerSettings = ServerSettings()
    split: SplitSettings | None = None

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
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, Frozen):
                found += _keys(part, f"{prefix}{name}.")
    return found


_KNOWN = _keys(Config)
