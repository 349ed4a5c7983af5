"""A run as the documents of a Harbor job: the same run and the same tasks give the same documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid5

from autoagent_mcp.export.documents import (
    AgentConfig,
    AgentContext,
    AgentInfo,
    DatasetConfig,
    EnvironmentConfig,
    JobConfig,
    JobLock,
    JobResult,
    ModelInfo,
    ModelUsage,
    StepResult,
    TaskConfig,
    TaskLock,
    Timing,
    TrialConfig,
    TrialLock,
    TrialResult,
    VerifierLock,
    VerifierResult,
)
from autoagent_mcp.export.exceptions import exception_info
from autoagent_mcp.export.stats import job_stats
from autoagent_mcp.models.run import Run
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import RULES, Failure, Trial
from autoagent_mcp.models.trial import StepResult as OwnStepResult
from autoagent_mcp.task import is_task

AGENT = "agent:AutoAgent"
"""agent.py as Harbor loads it (`harbor run -a`)."""
AGENT_NAME = "autoagent"
"""What the fixed part of agent.py says its name is."""
_NO_DATASET = "adhoc"
_NAMESPACE = UUID("6f2c6b1e-5d0a-4b7e-9a53-8a7d0c1f2e34")
_TASK_CHARS = 32
_SUFFIX_CHARS = 7
_VERSION_CHARS = 12


class JobDocuments:
    """The documents of one run.

    Args:
        run: It has ended.
        folder: Where the job will lie.
        tasks_dir: The tasks' folder, or the only task's.
        tasks: The run's tasks as they are now, by name, as far as they are still there.
        are_unchanged: Whether they are what the run measured: only then are their hashes told.
    """

    def __init__(
        self, run: Run, folder: Path, tasks_dir: Path, tasks: Mapping[str, Task], *, are_unchanged: bool
    ) -> None:
        self._run = run
        self._folder = folder
        self._tasks_dir = tasks_dir
        self._is_alone = is_task(tasks_dir)
        self._source = None if self._is_alone else tasks_dir.name
        self._tasks = tasks
        self._are_unchanged = are_unchanged
        self._id = uuid5(_NAMESPACE, f"{run.id} {run.candidate} {run.started_at.isoformat()}")
        self._provider, _, self._model = run.suite.model.partition("/")
        self._agent = AgentConfig(import_path=AGENT, model_name=run.suite.model)
        is_docker = run.suite.backend == "docker"
        self._environment = (
            EnvironmentConfig(type="docker")
            if is_docker
            else EnvironmentConfig(import_path=f"autoagent_mcp:{run.suite.backend}")
        )

    def config(self) -> JobConfig:
        """Return the job's config.json."""
        place = str(self._tasks_dir)
        return JobConfig(
            job_name=self._folder.name,
            jobs_dir=str(self._folder.parent),
            n_attempts=self._run.suite.attempts,
            environment=self._environment,
            agents=(self._agent,),
            datasets=() if self._is_alone else (DatasetConfig(path=place, task_names=self._run.suite.tasks),),
            tasks=(TaskConfig(path=place, source=None),) if self._is_alone else (),
        )

    def lock(self) -> JobLock | None:
        """Return the job's lock.json."""
        locks = [self.trial_lock(trial) for trial in self._run.trials]
        known = tuple(lock for lock in locks if lock is not None)
        return JobLock(created_at=self._run.started_at, trials=known) if self._are_unchanged else None

    def result(self, results: Sequence[TrialResult]) -> JobResult:
        """Return the job's result.json; `results` are the run's trials'."""
        run = self._run
        ended = run.finished_at or run.started_at
        planned = len(run.suite.tasks) * run.suite.attempts
        key = f"{AGENT_NAME}__{self._model}__{self._source or _NO_DATASET}"
        return JobResult(
            id=self._id,
            started_at=run.started_at,
            updated_at=ended,
            finished_at=ended,
            n_total_trials=planned,
            stats=job_stats(list(zip(run.trials, results, strict=True)), key, planned),
        )

    def trial_name(self, trial: Trial) -> str:
        """Return the name of a trial and of its folder."""
        return f"{trial.task[:_TASK_CHARS].rstrip('_-')}__{self._trial_id(trial).hex[:_SUFFIX_CHARS]}"

    def trial_config(self, trial: Trial) -> TrialConfig:
        """Return a trial's config.json."""
        return TrialConfig(
            task=TaskConfig(path=self._path(trial), source=self._source),
            trial_name=self.trial_name(trial),
            trials_dir=str(self._folder),
            agent=self._agent,
            environment=self._environment,
            job_id=self._id,
        )

    def trial_lock(self, trial: Trial) -> TrialLock | None:
        """Return a trial's lock.json; None where its task is not what it was."""
        if not self._are_unchanged:
            return None
        task = self._tasks[trial.task]
        return TrialLock(
            task=TaskLock(
                name=task.name,
                version=task.config.task.version if task.config.task else None,
                digest=task.digest,
                source=self._source,
                path=self._path(trial),
            ),
            agent=self._agent,
            environment=self._environment,
            verifier=VerifierLock(environment_mode=_mode(task)),
        )

    def trial_result(self, trial: Trial, traceback: str) -> TrialResult:
        """Return a trial's result.json; `traceback` is what a crashed harness left."""
        task = self._tasks.get(trial.task)
        ended = trial.started_at + timedelta(seconds=trial.duration_sec)
        timings = _timings(trial.started_at, _single_phases(trial))
        return TrialResult(
            id=self._trial_id(trial),
            task_name=task.config.task.name if task and task.config.task else trial.task,
            trial_name=self.trial_name(trial),
            trial_uri=(self._folder / self.trial_name(trial)).as_uri(),
            task_id={"path": self._path(trial)},
            source=self._source,
            task_checksum=task.digest.partition(":")[2] if task and self._are_unchanged else "",
            config=self.trial_config(trial),
            agent_info=AgentInfo(
                name=AGENT_NAME,
                version=self._run.candidate[:_VERSION_CHARS],
                model_info=ModelInfo(name=self._model, provider=self._provider),
            ),
            agent_result=self._agent_result(trial),
            verifier_result=_verifier_result(trial.rewards, trial.failure),
            verifier_environment_mode=_mode(task) if task else None,
            exception_info=exception_info(trial.failure, traceback, ended) if trial.failure else None,
            started_at=trial.started_at,
            finished_at=ended,
            environment_setup=timings.get("sandbox"),
            agent_execution=timings.get("harness"),
            verifier=timings.get("verifier"),
            step_results=tuple(_step_result(step) for step in trial.steps) or None,
        )

    def _trial_id(self, trial: Trial) -> UUID:
        return uuid5(self._id, trial.id)

    def _path(self, trial: Trial) -> str:
        return str(self._tasks_dir if self._is_alone else self._tasks_dir / trial.task)

    def _agent_result(self, trial: Trial) -> AgentContext | None:
        """What the harness took; None where it never came to work."""
        if "harness" not in trial.phases_sec:
            return None
        usage = ModelUsage(
            n_input_tokens=trial.usage.prompt_tokens,
            n_cache_tokens=trial.usage.cached_tokens,
            n_output_tokens=trial.usage.completion_tokens,
            cost_usd=trial.usage.cost_usd,
        )
        facts = {
            "run": self._run.id,
            "trial": trial.id,
            "model_calls": trial.usage.model_calls,
            "commands": trial.commands,
            "judge_usage": trial.judge_usage.model_dump(mode="json"),
            "notices": list(trial.notices),
        }
        return AgentContext(**usage.model_dump(), model_usage={self._model: usage}, metadata=facts)


def _mode(task: Task) -> Literal["shared", "separate"] | None:
    """Where the tests ran; of several steps each may have its own place."""
    if task.config.steps:
        return None
    return "separate" if task.steps[0].verifier_image else "shared"


def _verifier_result(rewards: Mapping[str, float] | None, failure: Failure | None) -> VerifierResult | None:
    """Nothing that did not count has a reward."""
    counts = failure is None or RULES[failure.cause].counts
    return VerifierResult(rewards=dict(rewards)) if rewards and counts else None


def _step_result(step: OwnStepResult) -> StepResult:
    timings = _timings(step.started_at, step.phases_sec)
    last = list(timings.values())[-1:]
    ended = last[0].finished_at if last else step.started_at
    return StepResult(
        step_name=step.name,
        verifier_result=_verifier_result(step.rewards, step.failure),
        exception_info=exception_info(step.failure, "", ended) if step.failure else None,
        agent_execution=timings.get("harness"),
        verifier=timings.get("verifier"),
    )


def _single_phases(trial: Trial) -> dict[str, float]:
    """The phases of a trial of one step; what neither the harness nor the verifier took, its sandbox did."""
    if trial.steps:
        return {}
    later = {name: trial.phases_sec[name] for name in ("harness", "verifier") if name in trial.phases_sec}
    return {"sandbox": max(0.0, trial.duration_sec - sum(later.values())), **later}


def _timings(began: datetime, phases_sec: Mapping[str, float]) -> dict[str, Timing]:
    """Lay phases one after another."""
    timings: dict[str, Timing] = {}
    for name in ("sandbox", "harness", "verifier"):
        if name in phases_sec:
            ended = began + timedelta(seconds=phases_sec[name])
            timings[name] = Timing(started_at=began, finished_at=ended)
            began = ended
    return timings
