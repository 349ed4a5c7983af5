"""The files of a Harbor job, as values: the fields of harbor 0.25's models that a run can fill.

Sources: `harbor.models.job.{config,lock,result}`, `harbor.models.trial.{config,result}`, `harbor.models.agent.context`.
Harbor fills what is left out with its defaults. Times carry their zone, sizes are counts of tokens.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from autoagent_mcp.models.base import Frozen


class DatasetConfig(Frozen):
    """Where the tasks lie, and which of them."""

    path: str
    task_names: tuple[str, ...]


class TaskConfig(Frozen):
    """A task of a trial; `source` names its dataset, None where it stands alone."""

    path: str
    source: str | None


class AgentConfig(Frozen):
    """The harness, as Harbor would load it."""

    import_path: str
    model_name: str


class EnvironmentConfig(Frozen):
    """What made the sandboxes: a type that Harbor knows, or the path of one that it does not."""

    type: Literal["docker"] | None = None
    import_path: str | None = None


class JobConfig(Frozen):
    """config.json of the job."""

    job_name: str
    jobs_dir: str
    n_attempts: int
    environment: EnvironmentConfig
    agents: tuple[AgentConfig, ...]
    datasets: tuple[DatasetConfig, ...] = ()
    tasks: tuple[TaskConfig, ...] = ()


class TrialConfig(Frozen):
    """config.json of a trial."""

    task: TaskConfig
    trial_name: str
    trials_dir: str
    agent: AgentConfig
    environment: EnvironmentConfig
    job_id: UUID


class TaskLock(Frozen):
    """A task with the hash of its content."""

    name: str
    version: str | None
    type: Literal["local"] = "local"
    digest: str
    source: str | None
    path: str


class VerifierLock(Frozen):
    """Whether the tests ran in the agent's sandbox; None where each step says so itself."""

    environment_mode: Literal["shared", "separate"] | None


class TrialLock(Frozen):
    """lock.json of a trial."""

    schema_version: int = 2
    task: TaskLock
    agent: AgentConfig
    environment: EnvironmentConfig
    verifier: VerifierLock


class JobLock(Frozen):
    """lock.json of the job."""

    schema_version: int = 3
    created_at: datetime
    harbor: dict[str, str] = {}
    """Which Harbor ran it: none."""
    n_concurrent_trials: int = 4
    """Harbor's default: runs do not record theirs, and it changes no reward."""
    retry: dict[str, int] = {}
    trials: tuple[TrialLock, ...]


class Timing(Frozen):
    """When a phase began and ended."""

    started_at: datetime
    finished_at: datetime


class ExceptionInfo(Frozen):
    """Why a trial or a step did not go its whole way."""

    exception_type: str
    exception_message: str
    exception_traceback: str
    occurred_at: datetime


class ModelInfo(Frozen):
    """The pinned model."""

    name: str
    provider: str


class AgentInfo(Frozen):
    """The harness."""

    name: str
    version: str
    model_info: ModelInfo


class ModelUsage(Frozen):
    """What one model's calls took; input counts what was cached too."""

    n_input_tokens: int
    n_cache_tokens: int
    n_output_tokens: int
    cost_usd: float | None


class AgentContext(ModelUsage):
    """What the harness took."""

    model_usage: dict[str, ModelUsage]
    metadata: dict[str, Any]


class VerifierResult(Frozen):
    """What the tests gave."""

    rewards: dict[str, float]


class StepResult(Frozen):
    """One step of a task that has several."""

    step_name: str
    verifier_result: VerifierResult | None
    exception_info: ExceptionInfo | None
    agent_execution: Timing | None
    verifier: Timing | None


class TrialResult(Frozen):
    """result.json of a trial."""

    id: UUID
    task_name: str
    trial_name: str
    trial_uri: str
    task_id: dict[Literal["path"], str]
    source: str | None
    task_checksum: str
    """Deprecated in Harbor for the lock's digest, and here that digest; "" where it is not known."""
    config: TrialConfig
    agent_info: AgentInfo
    agent_result: AgentContext | None
    verifier_result: VerifierResult | None
    verifier_environment_mode: Literal["shared", "separate"] | None
    exception_info: ExceptionInfo | None
    started_at: datetime
    finished_at: datetime
    environment_setup: Timing | None
    agent_execution: Timing | None
    verifier: Timing | None
    step_results: tuple[StepResult, ...] | None


class EvalStats(Frozen):
    """What the trials add up to."""

    n_trials: int
    """Those that have a reward."""
    n_errors: int
    metrics: tuple[dict[str, float], ...]
    pass_at_k: dict[int, float]
    reward_stats: dict[str, dict[float, tuple[str, ...]]]
    """By reward key and value the names of the trials."""
    exception_stats: dict[str, tuple[str, ...]]


class JobStats(Frozen):
    """How far the job came, and what it adds up to."""

    n_completed_trials: int
    n_errored_trials: int
    n_running_trials: int = 0
    n_pending_trials: int
    n_cancelled_trials: int
    n_retries: int
    evals: dict[str, EvalStats]
    n_input_tokens: int
    n_cache_tokens: int
    n_output_tokens: int
    cost_usd: float | None


class JobResult(Frozen):
    """result.json of the job."""

    id: UUID
    started_at: datetime
    updated_at: datetime
    finished_at: datetime
    n_total_trials: int
    stats: JobStats
