"""A task's way through its sandboxes: made ready, then worked in and looked at, step by step.

Trials go this way, and so does the control that tells whether it was the agent that broke a verifier.
"""

from __future__ import annotations

import shlex
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import anyio.to_thread

from autoagent_mcp import verifier
from autoagent_mcp.config import Config
from autoagent_mcp.errors import SandboxRefused
from autoagent_mcp.models.task import ImageSource, NetworkMode, Step, Task
from autoagent_mcp.models.trial import Failure, FailureCause, TrialFiles
from autoagent_mcp.run import artifacts, healthcheck, spec
from autoagent_mcp.run.artifacts import Kept
from autoagent_mcp.run.judge import Judge, JudgeUnreachable
from autoagent_mcp.sandbox.archive import Packer
from autoagent_mcp.sandbox.base import Backend, Image, Sandbox, SandboxSpec
from autoagent_mcp.verifier import Verification

Bring = Callable[[Step, Packer], None]
Equip = Callable[[SandboxSpec], Awaitable[SandboxSpec]]
_disk = anyio.CapacityLimiter(8)
_QUOTE_CHARS = 300


async def prepare_images(task: Task, backend: Backend) -> None:
    """Make every image ready that the task will need beside the agent's, before anything of it begins.

    Raises:
        SandboxError: One could not be made.
    """
    for source in task.image_sources:
        if source != task.image_source:
            await backend.prepare(task, source)


class Course:
    """Made by `begin`: the agent's sandbox runs."""

    def __init__(self, task: Task, backend: Backend, config: Config, own: SandboxSpec, judge: Judge) -> None:
        self._task = task
        self._backend = backend
        self._config = config
        self._judge = judge
        self._spec = own
        self._network = own.network
        self._sandbox: Sandbox
        self._stack = AsyncExitStack()
        self._holds_tests = False
        self._kept: tuple[Kept, ...] = ()
        self.workdir = spec.workdir_of(own)

    @property
    def sandbox(self) -> Sandbox:
        """Where the agent works."""
        return self._sandbox

    async def enter(self) -> None:
        """Start the agent's sandbox."""
        self._sandbox = await self._stack.enter_async_context(self._backend.start(self._spec))

    async def leave(self) -> None:
        """End the agent's sandbox, where it still runs."""
        await self._stack.aclose()

    async def prepare(self, step: Step, bring: Bring) -> Failure | None:
        """Make the sandbox ready for a step: files, setup.sh, healthchecks; return why it is not.

        What stops a later step is laid to the agent, who had the sandbox before: it buys no second try.

        Args:
            step: What comes.
            bring: Adds what the solver wants to find there.

        Raises:
            SandboxError: The sandbox is gone, or has no room for the first step.
        """
        await self._use(self._task.config.environment.network_mode)
        if step == self._task.steps[0]:
            return await self._prepare_first(step, bring)
        try:
            failure = await self._prepare_next(step, bring)
        except SandboxRefused as error:
            return Failure(cause=FailureCause.STEP_BROKEN, detail=str(error))
        return failure and Failure(cause=FailureCause.STEP_BROKEN, detail=failure.detail)

    async def _prepare_first(self, step: Step, bring: Bring) -> Failure | None:
        packer = Packer()
        await anyio.to_thread.run_sync(_pack_first, self._task, packer, limiter=_disk)
        if check := self._task.config.environment.healthcheck:
            await self._sandbox.put(packer.data(), "/")
            packer = Packer()
            if complaint := await healthcheck.complaint(check, self._sandbox, None):
                return Failure(cause=FailureCause.UNHEALTHY, detail=complaint)
        return await self._set_up(step, bring, packer)

    async def _prepare_next(self, step: Step, bring: Bring) -> Failure | None:
        in_the_way = await verifier.take_away(self._sandbox, tests=self._holds_tests)
        self._holds_tests = False
        if in_the_way:
            return Failure(cause=FailureCause.STEP_BROKEN, detail=in_the_way)
        return await self._set_up(step, bring, Packer())

    async def begin_work(self, step: Step) -> None:
        """Give the agent its network; what the task has started until now may stay when the agent is done."""
        if step == self._task.steps[0]:
            await self._sandbox.note_startup()
        await self._use(step.agent.network_mode)

    async def collect(self, step: Step, files: TrialFiles) -> tuple[str, ...]:
        """Copy out what is to be kept, and say what could not be; see `artifacts.collect`."""
        if step.verifier.collect:
            await self._use(self._task.config.environment.network_mode)
        self._kept, complaints = await artifacts.collect(step, self._sandbox, files.artifacts)
        return complaints

    async def verify(self, step: Step, files: TrialFiles, trajectory: bytes | None) -> Verification:
        """Run the step's tests, where the agent worked or in a sandbox of their own.

        Raises:
            SandboxError: A sandbox is gone, or the tests' own could not be started.
            TaskError: Its env needs a variable that is not set here.
            OSError: The trial's folder cannot be written.
        """
        if step.verifier_image is not None:
            return await self._verify_apart(step, step.verifier_image, files)
        await self._use(step.verifier.network_mode)
        self._holds_tests = True
        return await self._verify(step, self._sandbox, files, trajectory)

    async def _verify_apart(self, step: Step, source: ImageSource, files: TrialFiles) -> Verification:
        """Only artifacts cross over; the agent's sandbox ends first where no further step needs it."""
        if step == self._task.steps[-1]:
            await self.leave()
        image = await self._backend.prepare(self._task, source)
        own = spec.of_verifier(step, source.environment, image, self._config.sandbox, f"{self._spec.name}-verifier")
        async with self._backend.start(own) as sandbox:
            try:
                await artifacts.carry(self._kept, files.artifacts, sandbox)
            except SandboxRefused as error:
                detail = f"The artifacts could not be put in place: {error}"
                return Verification(failure=Failure(cause=FailureCause.REWARD_MISSING, detail=detail))
            wanted = spec.network_of(step.verifier.network_mode or source.environment.network_mode)
            if wanted != own.network:
                await sandbox.use_network(wanted)
            return await self._verify(step, sandbox, files, None)

    async def _verify(self, step: Step, sandbox: Sandbox, files: TrialFiles, trajectory: bytes | None) -> Verification:
        try:
            async with self._judge.hearing(step, sandbox, files) as hearing:
                env = hearing.env
                found = await verifier.verify(self._task, step, sandbox, files, env=env, trajectory=trajectory)
        except JudgeUnreachable as error:
            return Verification(failure=error.failure)
        return Verification(failure=hearing.failure) if hearing.failure else found

    async def _set_up(self, step: Step, bring: Bring, packer: Packer) -> Failure | None:
        await anyio.to_thread.run_sync(self._pack_step, step, bring, packer, limiter=_disk)
        if not packer.is_empty:
            await self._sandbox.put(packer.data(), "/")
        user = step.agent.user
        if step.name and (self._task.folder / step.folder / "workdir" / "setup.sh").is_file():
            limit = self._task.config.environment.build_timeout_sec
            command = f"bash {shlex.quote(str(self.workdir / 'setup.sh'))}"
            result = await self._sandbox.exec(command, timeout_sec=limit, user=user)
            if result.return_code != 0:
                said = (result.stdout + result.stderr).strip()[-_QUOTE_CHARS:]
                detail = f"setup.sh of step {step.name!r} ended with {result.return_code} and said {said!r}."
                return Failure(cause=FailureCause.SETUP_FAILED, detail=detail)
        if complaint := await healthcheck.complaint(step.healthcheck, self._sandbox, user):
            return Failure(cause=FailureCause.UNHEALTHY, detail=complaint)
        return None

    def _pack_step(self, step: Step, bring: Bring, packer: Packer) -> None:
        workdir = self._task.folder / step.folder / "workdir"
        if step.name and workdir.is_dir():
            packer.add_tree(workdir, self.workdir.relative_to("/").as_posix())
        bring(step, packer)

    async def _use(self, mode: NetworkMode | None) -> None:
        wanted = spec.network_of(mode or self._task.config.environment.network_mode)
        if wanted != self._network:
            await self._sandbox.use_network(wanted)
            self._network = wanted


@asynccontextmanager
async def begin(
    task: Task, backend: Backend, config: Config, name: str, *, judge: Judge, equip: Equip
) -> AsyncGenerator[Course]:
    """Start the agent's sandbox of a task whose images are ready; it ends with the context at the latest.

    Args:
        task: Whose.
        backend: Where.
        config: What limits hold where the task sets none.
        name: Of the sandbox.
        judge: For verifiers that ask a model.
        equip: Adds to the sandbox what the solver needs inside.

    Raises:
        SandboxError: It could not be equipped, or not be started.
        TaskError: Its env needs a variable that is not set here.
    """
    image: Image = await backend.prepare(task, task.image_source)
    own = await equip(spec.of_agent(task, image, config.sandbox, name))
    course = Course(task, backend, config, own, judge)
    await course.enter()
    try:
        yield course
    finally:
        await course.leave()


def _pack_first(task: Task, packer: Packer) -> None:
    """What every task's sandbox has before the solver comes: Harbor's /logs, and AutoAgent's /task."""
    packer.add_folder("logs")
    for folder in ("agent", "verifier", "artifacts"):
        packer.add_folder(f"logs/{folder}", 0o777)
    extra = task.folder / "files"
    if extra.is_dir():
        packer.add_folder("task")
        packer.add_file("task/instruction.md", task.instruction.encode())
        packer.add_tree(extra, "task/files")
