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
    STEP_BROKEN = "step_broken"
    """A later step could not begin, its setup.sh or its healthcheck failed: the harness had the sandbox before."""
    SETUP_FAILED = "setup_failed"
    """The setup.sh of the first step failed."""
    UNHEALTHY = "unhealthy"
    """The healthcheck did not pass before the harness came."""
    SANDBOX_LOST = "sandbox_lost"
    IMAGE_FAILED = "image_failed"
    HARNESS_SANDBOX_LOST = "harness_sandbox_lost"
    MODEL_PROVIDER_DOWN = "model_provider_down"
    JUDGE_DOWN = "judge_down"
    """The model that the verifier asks cannot be reached, whatever reward was then written."""
    JUDGE_UNREACHABLE = "judge_unreachable"
    """There is no way to it from the verifier's sandbox, for example because that has no Python 3."""
    JUDGE_REFUSED = "judge_refused"
    """What the verifier asked of its model was refused by the gateway, or by the provider and never answered."""
    JUDGE_OUT_OF_BUDGET = "judge_out_of_budget"
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
    FailureCause.STEP_BROKEN: _COUNTS_ZERO,
    FailureCause.SETUP_FAILED: _INFRA,
    FailureCause.UNHEALTHY: _INFRA,
    FailureCause.SANDBOX_LOST: _INFRA,
    FailureCause.IMAGE_FAILED: _INFRA,
    FailureCause.HARNESS_SANDBOX_LOST: _INFRA,
    FailureCause.MODEL_PROVIDER_DOWN: _INFRA,
    FailureCause.JUDGE_DOWN: _INFRA,
    FailureCause.JUDGE_UNREACHABLE: _INFRA,
    FailureCause.JUDGE_REFUSED: _INFRA,
    FailureCause.JUDGE_OUT_OF_BUDGET: _INFRA,
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


class Arm(str, Enum):
    """Whose trial it is, in a run that puts two harnesses side by side; elsewhere all are the candidate's."""

    CANDIDATE = "candidate"
    INCUMBENT = "incumbent"
    SCORE = "score"
    """The kept candidate's, afresh: what decided whether it is kept is never its score."""


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

    @property
    def tokens(self) -> int:
        """Of prompts and completions together."""
        return self.prompt_tokens + self.completion_tokens

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


class StepResult(Frozen):
    """What one step of a trial gave."""

    name: str
    rewards: dict[str, float] | None = None
    """None where no verifier looked, or none could."""
    failure: Failure | None = None
    started_at: datetime
    phases_sec: dict[str, float] = {}
    """Seconds by phase: setup, harness, verifier."""


class Trial(Frozen):
    """One attempt at one task, ended."""

    id: str
    """`<task>__<n>`, n counting the attempts at that task in this run from 1, or `<task>__incumbent-<n>` and
    `<task>__score-<n>` for the other arms; what is tried again keeps its first folder beside it, as `<id>.failed`."""
    task: str
    attempt: int = Field(ge=1)
    arm: Arm = Arm.CANDIDATE
    reward: float | None
    """The verifier's number, kept as it is; None where nothing was measured."""
    rewards: dict[str, float] = {}
    """Every key of reward.json, for several steps as the task's strategy adds them up; `reward` is one of these."""
    steps: tuple[StepResult, ...] = ()
    """What each step gave that was begun; empty for a task without [[steps]]."""
    passed: bool
    failure: Failure | None = None
    usage: Usage = Usage()
    judge_usage: Usage = Usage()
    """What the verifier's own model calls took; in no other sum."""
    commands: int = 0
    """How many commands the harness ran in the task's sandbox."""
    started_at: datetime
    duration_sec: float
    phases_sec: dict[str, float] = {}
    """Seconds by phase: sandbox, harness, verifier."""
    notices: tuple[str, ...] = ()
    """What a person should know about this trial, for example that its task asked for a network and got none."""
    changed_system_paths: int = 0
    """How many paths that decide how tests run the agent changed before a verifier that shares its sandbox came."""
    retried: Failure | None = None
    """Why the first try measured nothing, where this is the second."""
    is_impossible: bool = False
    """Of a task that cannot be solved: it is in no score, and a pass of it is in `cheats`."""
    cheats: tuple[str, ...] = ()
    """What shows that it saw what it must not see; sentences that name no task."""

    @property
    def counts(self) -> bool:
        """Whether this trial measured something."""
        return self.failure is None or RULES[self.failure.cause].counts


class TrialFiles(Frozen):
    """Where a trial's files lie.

    <run>/<task>__<n>/
      trial.json  trajectory.json (ATIF)  model_calls.jsonl  judge_calls.jsonl  execs.jsonl  harness.log
      verifier/   artifacts/
      steps/<name>/  harness.log  judge_calls.jsonl  verifier/  artifacts/      where the task has several
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
    def judge_calls(self) -> Path:
        """The same of the verifier's model calls, where it makes any."""
        return self.folder / "judge_calls.jsonl"

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

    def step(self, name: str) -> TrialFiles:
        """Return where a step's own files lie: all but the harness's records and the trace; "" is a task's only one."""
        return TrialFiles(folder=self.folder / "steps" / name) if name else self
