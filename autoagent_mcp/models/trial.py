"""What one attempt at one task gave, and why it failed if it did."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from autoagent_mcp.models.base import Frozen


class FailureCause(str, Enum):
    """Why a trial did not go its whole way. `RULES` says what follows from each."""

    HARNESS_TIMEOUT = "harness_timeout"
    HARNESS_CRASHED = "harness_crashed"
    OUT_OF_TURNS = "out_of_turns"
    OUT_OF_BUDGET = "out_of_budget"
    REWARD_GARBLED = "reward_garbled"
    """The verifier gave no usable reward here, but does in a fresh sandbox: the harness or its commands broke it."""
    SANDBOX_LOST = "sandbox_lost"
    IMAGE_FAILED = "image_failed"
    HARNESS_SANDBOX_LOST = "harness_sandbox_lost"
    MODEL_PROVIDER_DOWN = "model_provider_down"
    VERIFIER_TIMEOUT = "verifier_timeout"
    REWARD_MISSING = "reward_missing"
    REWARD_EMPTY = "reward_empty"
    REWARD_UNPARSABLE = "reward_unparsable"
    REWARD_NOT_FINITE = "reward_not_finite"
    REWARD_NOT_A_NUMBER = "reward_not_a_number"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    INTERNAL_ERROR = "internal_error"
    """A bug of this server; the traceback is in its log."""


class Rule(NamedTuple):
    """What follows from a failure cause."""

    is_verified: bool
    """Whether the verifier looks after a harness that ended so."""
    counts: bool
    """Whether the trial is a measurement; its reward is then the verifier's, or 0 where none looked."""
    is_retried: bool
    """Whether the trial is tried a second time."""


_COUNTS = Rule(is_verified=True, counts=True, is_retried=False)
_COUNTS_ZERO = Rule(is_verified=False, counts=True, is_retried=False)
_INFRA = Rule(is_verified=False, counts=False, is_retried=True)
_STOPPED = Rule(is_verified=False, counts=False, is_retried=False)

RULES: dict[FailureCause, Rule] = {
    FailureCause.HARNESS_TIMEOUT: _COUNTS,
    FailureCause.HARNESS_CRASHED: _COUNTS_ZERO,
    FailureCause.OUT_OF_TURNS: _COUNTS,
    FailureCause.OUT_OF_BUDGET: _COUNTS,
    FailureCause.REWARD_GARBLED: _COUNTS_ZERO,
    FailureCause.SANDBOX_LOST: _INFRA,
    FailureCause.IMAGE_FAILED: _INFRA,
    FailureCause.HARNESS_SANDBOX_LOST: _INFRA,
    FailureCause.MODEL_PROVIDER_DOWN: _INFRA,
    FailureCause.VERIFIER_TIMEOUT: _INFRA,
    FailureCause.REWARD_MISSING: _INFRA,
    FailureCause.REWARD_EMPTY: _INFRA,
    FailureCause.REWARD_UNPARSABLE: _INFRA,
    FailureCause.REWARD_NOT_FINITE: _INFRA,
    FailureCause.REWARD_NOT_A_NUMBER: _INFRA,
    FailureCause.CANCELLED: _STOPPED,
    FailureCause.INTERRUPTED: _STOPPED,
    FailureCause.INTERNAL_ERROR: _STOPPED,
}
"""The one table: cause -> is it verified, does it count, is it tried again. Harbor's semantics (its `error_policy`)."""


class Failure(Frozen):
    """What went wrong in a trial."""

    cause: FailureCause
    detail: str = ""
    """One line for people; text that came out of a sandbox is quoted and cut."""


class Usage(Frozen):
    """What model calls took. Costs are None where a price is unknown, never 0."""

    model_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = 0.0

    def __add__(self, other: Usage) -> Usage:
        """Sum two usages; a sum with an unknown cost is unknown."""
        known = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            model_calls=self.model_calls + other.model_calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cost_usd=(self.cost_usd or 0.0) + (other.cost_usd or 0.0) if known else None,
        )


class Trial(Frozen):
    """One attempt at one task, ended."""

    id: str
    """`<task>__<n>`, n counting the attempts at that task in this run from 1; a retry's folder adds `.retry`."""
    task: str
    attempt: int = Field(ge=1)
    reward: float | None
    """The verifier's number, kept as it is; None where nothing was measured."""
    rewards: dict[str, float] = {}
    """Every key of reward.json; `reward` is the one that counts."""
    passed: bool
    failure: Failure | None = None
    usage: Usage = Usage()
    commands: int = 0
    """How many commands the harness ran in the task's sandbox."""
    started_at: datetime
    duration_sec: float
    phases_sec: dict[str, float] = {}
    """Seconds by phase: sandbox, harness, verifier."""
    notices: tuple[str, ...] = ()
    """What a person should know about this trial, for example that its task asked for a network and got none."""
    retried: Failure | None = None
    """Why the first try measured nothing, where this is the second."""

    @property
    def counts(self) -> bool:
        """Whether this trial measured something."""
        return self.failure is None or RULES[self.failure.cause].counts


class TrialFiles(Frozen):
    """Where a trial's files lie.

    <run>/<task>__<n>/
      trial.json  trajectory.json (ATIF)  model_calls.jsonl  execs.jsonl  harness.log
      verifier/   artifacts/
    """

    folder: Path

    @property
    def trial(self) -> Path:
        """The trial itself, as JSON; written when it ended."""
        return self.folder / "trial.json"

    @property
    def trajectory(self) -> Path:
        """The trace in ATIF."""
        return self.folder / "trajectory.json"

    @property
    def model_calls(self) -> Path:
        """Every request to the model and every answer, in order, as they happened."""
        return self.folder / "model_calls.jsonl"

    @property
    def execs(self) -> Path:
        """Every command that the harness ran in the task's sandbox."""
        return self.folder / "execs.jsonl"

    @property
    def harness_log(self) -> Path:
        """What the harness printed, and its traceback."""
        return self.folder / "harness.log"

    @property
    def verifier(self) -> Path:
        """What the verifier left at /logs/verifier, and test-stdout.txt."""
        return self.folder / "verifier"

    @property
    def artifacts(self) -> Path:
        """What the task asked to keep."""
        return self.folder / "artifacts"
