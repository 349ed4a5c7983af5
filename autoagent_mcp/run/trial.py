"""One attempt at one task, in a sandbox of its own.

A trial is a straight line: start a sandbox, let the solver work, kill all that it started, let the verifier look, stop
the sandbox. It knows nothing of git, of the ledger or of other trials.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timezone

import anyio

from autoagent_mcp import trace, verifier
from autoagent_mcp._io import write_whole
from autoagent_mcp.config import Config
from autoagent_mcp.errors import SandboxError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import RULES, Failure, FailureCause, Trial, TrialFiles
from autoagent_mcp.run import artifacts
from autoagent_mcp.run.solver import Outcome, Solver
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Backend, Limits, Sandbox, SandboxSpec
from autoagent_mcp.task import resolve_env
from autoagent_mcp.verifier import Verification

_disk = anyio.CapacityLimiter(8)
_INSTRUCTION = "task/instruction.md"


class Plan(Frozen):
    """What to try."""

    run: str
    task: Task
    attempt: int
    files: TrialFiles
    model: str
    retried: Failure | None = None

    @property
    def id(self) -> str:
        """The trial's id."""
        return trial_id(self.task.name, self.attempt)


def trial_id(task: str, attempt: int) -> str:
    """Return `<task>__<n>`."""
    return f"{task}__{attempt}"


async def attempt(plan: Plan, solver: Solver, backend: Backend, config: Config) -> Trial:
    """Try a task once and return what came of it; a failure of any kind is part of the answer.

    Raises:
        OSError: The trial's folder cannot be written.
    """
    line = _Line(plan, solver, backend, config)
    plan.files.folder.mkdir(parents=True)
    try:
        await line.run()
    except anyio.get_cancelled_exc_class():
        line.failure = Failure(cause=FailureCause.CANCELLED)
        raise
    except SandboxError as error:
        line.failure = Failure(
            cause=FailureCause.SANDBOX_LOST if line.started else FailureCause.IMAGE_FAILED, detail=str(error)
        )
    finally:
        trial = await line.finish()
    return trial


def interrupt(plan: Plan) -> Trial:
    """Finish, from its records, a trial that a killed server left half done: it measured nothing, its trace stays."""
    write_trace(plan)
    trial = broken(plan, Failure(cause=FailureCause.INTERRUPTED, detail="The server ended in the middle."))
    write_whole(plan.files.trial, trial.model_dump_json(indent=1))
    return trial


def broken(plan: Plan, failure: Failure) -> Trial:
    """Return a trial that measured nothing."""
    return Trial(
        id=plan.id,
        task=plan.task.name,
        attempt=plan.attempt,
        reward=None,
        passed=False,
        failure=failure,
        started_at=datetime.now(timezone.utc),
        duration_sec=0.0,
    )


def write_trace(plan: Plan) -> bytes:
    """Build a trial's trace from what was recorded, write it and return it."""
    built = trace.build(plan.files, task=plan.task.name, instruction=plan.task.instruction, model=plan.model)
    data = json.dumps(built, ensure_ascii=False).encode()
    write_whole(plan.files.trajectory, data, is_durable=False)
    return data


class _Line:
    """The state of one trial while it goes its way."""

    def __init__(self, plan: Plan, solver: Solver, backend: Backend, config: Config) -> None:
        self._plan = plan
        self._solver = solver
        self._backend = backend
        self._config = config
        self._began = time.monotonic()
        self._started_at = datetime.now(timezone.utc)
        self._phases: dict[str, float] = {}
        self._outcome = Outcome()
        self._complaints: tuple[str, ...] = ()
        self._verification: Verification | None = None
        self._trace: bytes | None = None
        self.started = False
        self.failure: Failure | None = Failure(cause=FailureCause.INTERNAL_ERROR, detail="See .autoagent/server.log.")

    async def run(self) -> None:
        """Go the way once."""
        with self._phase("sandbox"):
            image = await self._backend.prepare(self._plan.task)
        spec = self._spec(image)
        async with self._backend.start(spec) as sandbox:
            self.started = True
            with self._phase("sandbox"):
                await sandbox.put(await _first_files(self._plan.task), "/")
            with self._phase("harness"):
                self._outcome = await self._solver.solve(self._plan.task, sandbox, self._plan.files)
                await sandbox.kill_all()
            failure = self._outcome.failure
            with self._phase("verifier"):
                self._complaints = await artifacts.collect(self._plan.task, sandbox, self._plan.files)
                if failure is None or RULES[failure.cause].is_verified:
                    failure = await self._verify(sandbox, spec) or failure
        self.failure = failure

    async def _verify(self, sandbox: Sandbox, spec: SandboxSpec) -> Failure | None:
        trajectory = await self._write_trace()
        found = await verifier.verify(self._plan.task, sandbox, self._plan.files, trajectory=trajectory)
        if found.failure is not None and await self._works_untouched(spec):
            detail = f"{found.failure.detail} The same verifier gives a reward in a sandbox that no harness touched."
            found = Verification(reward=None, failure=Failure(cause=FailureCause.REWARD_GARBLED, detail=detail))
        self._verification = found
        return found.failure

    async def _works_untouched(self, spec: SandboxSpec) -> bool:
        """Tell whether the verifier gives a reward in a fresh sandbox: then this one was broken from inside.

        Without it a harness could break the verifier of a task that it has not solved and be tried again.
        """
        place = TrialFiles(folder=self._plan.files.folder / "untouched")
        async with self._backend.start(spec) as sandbox:
            await sandbox.put(await _first_files(self._plan.task), "/")
            found = await verifier.verify(self._plan.task, sandbox, place, trajectory=None)
        return found.failure is None

    async def _write_trace(self) -> bytes:
        if self._trace is None:
            self._trace = await anyio.to_thread.run_sync(write_trace, self._plan, limiter=_disk)
        return self._trace

    async def finish(self) -> Trial:
        """Write the trace and the trial, also when cancelled."""
        trial = self._trial()
        with anyio.CancelScope(shield=True):
            await self._write_trace()
            data = trial.model_dump_json(indent=1)
            await anyio.to_thread.run_sync(write_whole, self._plan.files.trial, data, limiter=_disk)
        return trial

    def _trial(self) -> Trial:
        counts = self.failure is None or RULES[self.failure.cause].counts
        found = self._verification
        reward = found.reward if found else None
        if counts and reward is None:
            reward = 0.0
        return Trial(
            id=self._plan.id,
            task=self._plan.task.name,
            attempt=self._plan.attempt,
            reward=reward if counts else None,
            rewards=found.rewards if found else {},
            passed=counts and reward is not None and reward >= self._config.decision.passed_at,
            failure=self.failure,
            usage=self._outcome.usage,
            commands=self._outcome.commands,
            started_at=self._started_at,
            duration_sec=time.monotonic() - self._began,
            phases_sec=self._phases,
            notices=(*self._outcome.notices, *self._complaints),
            retried=self._plan.retried,
        )

    def _spec(self, image: object) -> SandboxSpec:
        asked, ours = self._plan.task.config.environment, self._config.sandbox
        return SandboxSpec.model_validate(
            {
                "name": f"{self._plan.run}-{self._plan.id}",
                "image": image,
                "env": resolve_env(asked.env),
                "workdir": asked.workdir,
                "limits": Limits(
                    cpus=asked.cpus,
                    memory_mb=asked.memory_mb or ours.memory_mb,
                    storage_mb=asked.storage_mb or ours.storage_mb,
                    processes=ours.processes,
                ),
            }
        )

    @contextmanager
    def _phase(self, name: str) -> Generator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._phases[name] = self._phases.get(name, 0.0) + time.monotonic() - began


async def _first_files(task: Task) -> bytes:
    return await anyio.to_thread.run_sync(_pack_first_files, task, limiter=_disk)


def _pack_first_files(task: Task) -> bytes:
    """What every task's sandbox has before the solver comes: Harbor's /logs, and AutoAgent's /task."""
    files: dict[str, bytes] = {}
    extra = task.folder / "files"
    if extra.is_dir():
        files[_INSTRUCTION] = task.instruction.encode()
        files |= {
            f"task/files/{path.relative_to(extra)}": path.read_bytes() for path in extra.rglob("*") if path.is_file()
        }
    return archive.pack_files(files, open_folders=("logs/agent", "logs/verifier", "logs/artifacts"))
