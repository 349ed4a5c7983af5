"""One attempt at one task, in a sandbox of its own.

A trial is a straight line: start a sandbox; for each step of the task make it ready, let the solver work, kill all
that it started, keep what is asked for, let the verifier look; stop the sandbox. It knows nothing of git, of the ledger
or of other trials.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone

import anyio
import anyio.to_thread

from autoagent_mcp import trace
from autoagent_mcp._io import write_whole
from autoagent_mcp.config import Config
from autoagent_mcp.errors import SandboxError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.task import Step, Task
from autoagent_mcp.models.trial import RULES, Arm, Failure, FailureCause, StepResult, Trial, TrialFiles
from autoagent_mcp.run import cheating, rewards, tampering
from autoagent_mcp.run import course as courses
from autoagent_mcp.run.course import Course
from autoagent_mcp.run.judge import SEEN_AT_THE_GATEWAY, Judge
from autoagent_mcp.run.solver import Nop, Solver, Totals, Worker
from autoagent_mcp.run.spent import recorded
from autoagent_mcp.sandbox.base import Backend
from autoagent_mcp.verifier import Verification

_disk = anyio.CapacityLimiter(8)


class Plan(Frozen):
    """What to try."""

    run: str
    task: Task
    attempt: int
    arm: Arm = Arm.CANDIDATE
    files: TrialFiles
    model: str
    retried: Failure | None = None
    earlier_cheats: tuple[str, ...] = ()
    """Of the first try, where this is the second."""

    @property
    def id(self) -> str:
        """The trial's id."""
        return trial_id(self.task.name, self.attempt, self.arm)


def trial_id(task: str, attempt: int, arm: Arm = Arm.CANDIDATE) -> str:
    """Return `<task>__<n>`, or `<task>__<arm>-<n>`."""
    return f"{task}__{attempt}" if arm is Arm.CANDIDATE else f"{task}__{arm.value}-{attempt}"


def place_of(trial_id: str) -> tuple[str, int, Arm] | None:
    """Read a trial's id back: task, attempt and arm; None where it is none."""
    task, _, rest = trial_id.rpartition("__")
    arm, _, number = rest.rpartition("-")
    if not number.isdigit() or arm not in {"", Arm.INCUMBENT.value, Arm.SCORE.value}:
        return None
    return task, int(number), Arm(arm) if arm else Arm.CANDIDATE


async def attempt(plan: Plan, solver: Solver, backend: Backend, config: Config, judge: Judge) -> Trial:
    """Try a task once and return what came of it; a failure of any kind is part of the answer.

    Raises:
        OSError: The trial's folder cannot be written.
    """
    line = _Line(plan, solver, backend, config, judge)
    plan.files.folder.mkdir(parents=True)
    try:
        await line.run()
    except anyio.get_cancelled_exc_class():
        line.end(Failure(cause=FailureCause.CANCELLED))
        raise
    except SandboxError as error:
        cause = FailureCause.SANDBOX_LOST if line.started else FailureCause.IMAGE_FAILED
        line.end(Failure(cause=cause, detail=str(error)))
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
    """Return a trial that measured nothing; what it took is read from its records."""
    spent = recorded(plan.files)
    return Trial(
        id=plan.id,
        task=plan.task.name,
        attempt=plan.attempt,
        arm=plan.arm,
        reward=None,
        passed=False,
        failure=failure,
        usage=spent.usage,
        judge_usage=spent.judge_usage,
        is_impossible=plan.task.is_impossible,
        cheats=plan.earlier_cheats,
        started_at=datetime.now(timezone.utc),
        duration_sec=0.0,
    )


def write_trace(plan: Plan) -> bytes:
    """Build a trial's trace from what was recorded, write it and return it."""
    first, *later = plan.task.steps
    begun = [first, *(step for step in later if plan.files.step(step.name).folder.exists())]
    instructions = {step.name: step.instruction for step in begun}
    built = trace.build(plan.files, task=plan.task.name, instructions=instructions, model=plan.model)
    data = json.dumps(built, ensure_ascii=False).encode()
    write_whole(plan.files.trajectory, data, is_durable=False)
    return data


@dataclass
class _Round:
    """A step while it goes on."""

    step: Step
    started_at: datetime
    rewards: dict[str, float] | None = None
    failure: Failure | None = None
    phases_sec: dict[str, float] = field(default_factory=dict[str, float])


class _Line:
    """The state of one trial while it goes its way."""

    def __init__(self, plan: Plan, solver: Solver, backend: Backend, config: Config, judge: Judge) -> None:
        self._plan = plan
        self._solver = solver
        self._backend = backend
        self._config = config
        self._judge = judge
        self._began = time.monotonic()
        self._started_at = datetime.now(timezone.utc)
        self._phases: dict[str, float] = {}
        self._rounds: list[_Round] = []
        self._notices: list[str] = []
        self._known_changes: set[str] = set()
        self._changed_system_paths = 0
        self._worker: Worker | None = None
        self._trace: bytes | None = None
        self._end: Failure | None = Failure(cause=FailureCause.INTERNAL_ERROR, detail="See .autoagent/server.log.")
        self.started = False

    async def run(self) -> None:
        """Go the way once."""
        plan = self._plan
        async with AsyncExitStack() as stack:
            with self._phase("sandbox"):
                await courses.prepare_images(plan.task, self._backend)
                name = f"{plan.run}-{plan.id}"
                course = await stack.enter_async_context(self._begun(name, self._solver))
            self.started = True
            async with self._solver.at_work(plan.task, course.sandbox, plan.files) as self._worker:
                for step in plan.task.steps:
                    this = _Round(step, datetime.now(timezone.utc))
                    self._rounds.append(this)
                    await self._go(this, course, self._worker)
                    if self._is_last(this):
                        break
        self._end = None

    def _begun(self, name: str, solver: Solver) -> AbstractAsyncContextManager[Course]:
        return courses.begin(
            self._plan.task, self._backend, self._config, name, judge=self._judge, equip=solver.equipped
        )

    def end(self, failure: Failure) -> None:
        """Note what ended the trial on its way."""
        self._end = failure

    async def _go(self, this: _Round, course: Course, worker: Worker) -> None:
        """Take one step."""
        step, files = this.step, self._plan.files.step(this.step.name)
        files.folder.mkdir(parents=True, exist_ok=True)
        with self._phase("sandbox", this):
            this.failure = await course.prepare(step, worker.bring)
        if this.failure is not None:
            return
        with self._phase("harness", this):
            await course.begin_work(step)
            self._trace = None
            this.failure = await worker.work(step, files)
            await course.sandbox.kill_all()
        with self._phase("verifier", this):
            await self._look_for_tampering(step, course)
            self._note(step, *await course.collect(step, files))
            if self._is_verified(this.failure):
                await self._verify(this, course, files)

    def _is_verified(self, failure: Failure | None) -> bool:
        """Under Harbor a crash is verified in a task of several steps, and not in one of a single step."""
        if failure is None:
            return True
        rule = RULES[failure.cause]
        return rule.is_verified or (rule.counts and bool(self._plan.task.config.steps))

    async def _verify(self, this: _Round, course: Course, files: TrialFiles) -> None:
        found = self._usable(await course.verify(this.step, files, await self._write_trace()))
        if found.failure is None:
            this.rewards = found.rewards
            return
        this.failure = found.failure
        if found.failure.cause not in SEEN_AT_THE_GATEWAY and await self._works_untouched(this.step):
            detail = f"{found.failure.detail} The same verifier gives a reward in a sandbox that no harness touched."
            this.failure = Failure(cause=FailureCause.REWARD_GARBLED, detail=detail)
            this.rewards = {}

    def _usable(self, found: Verification) -> Verification:
        """Of a single step the key that counts must be there; of several it may come from any."""
        if found.failure is None and not self._plan.task.config.steps:
            chosen = rewards.chosen(found.rewards, self._config.decision.reward_key)
            if isinstance(chosen, Failure):
                return found.model_copy(update={"failure": chosen})
        return found

    async def _works_untouched(self, wanted: Step) -> bool:
        """Go the same way with nobody at work: a verifier that gives a reward then was broken from inside.

        Without it a harness could break the verifier of a task that it has not solved and be tried again. Where a step
        cannot even begin without the work of those before, nothing is known, and the harness is not blamed.
        """
        plan, files = self._plan, TrialFiles(folder=self._plan.files.folder / "untouched")
        files.folder.mkdir(exist_ok=True)
        name = f"{plan.run}-{plan.id}-untouched"
        async with self._begun(name, Nop()) as course:
            for step in plan.task.steps:
                if await course.prepare(step, Nop().bring) is not None:
                    return False
                if step == wanted:
                    break
            await course.collect(wanted, files)
            found = self._usable(await course.verify(wanted, files, None))
        return found.failure is None

    async def _look_for_tampering(self, step: Step, course: Course) -> None:
        """Name what the agent changed of the system in which the tests are about to run."""
        if self._solver.is_trusted or step.verifier_image is not None:
            return
        changes = set(await course.sandbox.changes()) - self._known_changes
        self._known_changes |= changes
        found = tampering.system_paths(changes, course.workdir)
        self._changed_system_paths += len(found)
        if found:
            self._note(step, tampering.notice(found, changes))

    def _is_last(self, this: _Round) -> bool:
        """Tell whether no further step is taken: this one gave nothing, or too little."""
        if this.rewards is None:
            return True
        if this.failure is not None and this.failure.cause is FailureCause.REWARD_GARBLED:
            return True
        short = rewards.shortfall(this.rewards, this.step.min_reward)
        if short and this.step != self._plan.task.steps[-1]:
            self._note(this.step, f"{short}: the steps after it were not taken.")
        return bool(short)

    def _note(self, step: Step, *notices: str) -> None:
        self._notices += [f"Step {step.name}: {notice}" if step.name else notice for notice in notices]

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
        task, config = self._plan.task, self._config.decision
        found = self._rewards() or {}
        chosen = rewards.chosen(found, config.reward_key) if found else None
        failure = self._failure() or (chosen if isinstance(chosen, Failure) else None)
        counts = failure is None or RULES[failure.cause].counts
        reward = chosen if isinstance(chosen, float) else 0.0
        is_broken = failure is not None and failure.cause is FailureCause.STEP_BROKEN
        passed = counts and reward >= config.passed_at and not is_broken
        totals = self._worker.totals if self._worker else Totals()
        return Trial(
            id=self._plan.id,
            task=task.name,
            attempt=self._plan.attempt,
            arm=self._plan.arm,
            reward=reward if counts else None,
            rewards=found,
            steps=tuple(_result(this) for this in self._rounds) if task.config.steps else (),
            passed=passed,
            failure=failure,
            usage=totals.usage,
            judge_usage=self._judge.usage,
            commands=totals.commands,
            started_at=self._started_at,
            duration_sec=time.monotonic() - self._began,
            phases_sec=self._phases,
            notices=(*totals.notices, *self._notices, *self._judge.notices),
            changed_system_paths=self._changed_system_paths,
            retried=self._plan.retried,
            is_impossible=task.is_impossible,
            cheats=self._cheats(totals, passed=passed),
        )

    def _cheats(self, totals: Totals, *, passed: bool) -> tuple[str, ...]:
        is_caught = passed and self._plan.task.is_impossible and not self._solver.is_trusted
        found = (*self._plan.earlier_cheats, *totals.cheats, *([cheating.PASSED_IMPOSSIBLE] if is_caught else []))
        return tuple(dict.fromkeys(found))

    def _rewards(self) -> dict[str, float] | None:
        config = self._plan.task.config
        if not config.steps:
            return self._rounds[0].rewards if self._rounds else None
        return rewards.overall([this.rewards for this in self._rounds], config.multi_step_reward_strategy)

    def _failure(self) -> Failure | None:
        """Return what ended the trial; else what took its measurement away; else the first step's that failed."""
        failures = [self._end, *(this.failure for this in self._rounds)]
        known = [failure for failure in failures if failure is not None]
        return next((one for one in known if not RULES[one.cause].counts), known[0] if known else None)

    @contextmanager
    def _phase(self, name: str, this: _Round | None = None) -> Generator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            for phases in (self._phases, *([this.phases_sec] if this else [])):
                phases[name] = phases.get(name, 0.0) + time.monotonic() - began


def _result(this: _Round) -> StepResult:
    return StepResult(
        name=this.step.name,
        rewards=this.rewards,
        failure=this.failure,
        started_at=this.started_at,
        phases_sec=this.phases_sec,
    )
