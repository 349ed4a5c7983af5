"""Who works on a task: the harness, the oracle or nobody.

The oracle runs the task's own solution and must pass; the nop does nothing and must not. Both are Harbor's, and show
whether a task measures anything.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from autoagent_mcp.config import TrialSettings
from autoagent_mcp.gateway.app import Gateway
from autoagent_mcp.gateway.meter import Meter
from autoagent_mcp.gateway.session import Session
from autoagent_mcp.harness.process import HarnessEnd, HarnessProcess, Order
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.task import Step, Task
from autoagent_mcp.models.trial import Failure, FailureCause, TrialFiles, Usage
from autoagent_mcp.sandbox.archive import Packer
from autoagent_mcp.sandbox.base import Sandbox, SandboxSpec
from autoagent_mcp.task import is_ignored, resolve_env, solution_of


class Totals(Frozen):
    """What a solver took for a whole trial."""

    usage: Usage = Usage()
    commands: int = 0
    notices: tuple[str, ...] = ()
    cheats: tuple[str, ...] = ()


class Worker(Protocol):
    """A solver at work on one trial."""

    @property
    def totals(self) -> Totals:
        """What it took so far."""
        ...

    def bring(self, step: Step, packer: Packer) -> None:
        """Add what it wants to find in the sandbox to what is put there before a step; reads files.

        Raises:
            OSError: A file cannot be read.
        """
        ...

    async def work(self, step: Step, files: TrialFiles) -> Failure | None:
        """Work until done, failed or out of time; what failed is told, not raised.

        Args:
            step: What to do.
            files: Of the step.

        Raises:
            SandboxError: The sandbox is gone.
        """
        ...


class Solver(Protocol):
    """Works on tasks."""

    @property
    def is_trusted(self) -> bool:
        """Whether what it does in a sandbox is the task's own."""
        ...

    async def equipped(self, spec: SandboxSpec) -> SandboxSpec:
        """Return a task's sandbox with what the solver needs inside it.

        Raises:
            SandboxError: It cannot be put there.
        """
        ...

    def at_work(self, task: Task, sandbox: Sandbox, files: TrialFiles) -> AbstractAsyncContextManager[Worker]:
        """Begin a trial; nothing of it goes on when the context is left."""
        ...


class Nop:
    """Does nothing."""

    is_trusted = True
    totals = Totals()

    async def equipped(self, spec: SandboxSpec) -> SandboxSpec:
        """See `Solver.equipped`; it needs nothing."""
        return spec

    @asynccontextmanager
    async def at_work(self, task: Task, sandbox: Sandbox, files: TrialFiles) -> AsyncGenerator[Worker]:  # noqa: ARG002
        """See `Solver.at_work`."""
        yield self

    def bring(self, step: Step, packer: Packer) -> None:
        """See `Worker.bring`; it needs nothing."""

    async def work(self, step: Step, files: TrialFiles) -> Failure | None:  # noqa: ARG002 - the interface
        """See `Worker.work`."""
        return None


class Oracle:
    """Runs the task's own solution."""

    is_trusted = True

    async def equipped(self, spec: SandboxSpec) -> SandboxSpec:
        """See `Solver.equipped`; it needs nothing."""
        return spec

    @asynccontextmanager
    async def at_work(self, task: Task, sandbox: Sandbox, files: TrialFiles) -> AsyncGenerator[Worker]:  # noqa: ARG002
        """See `Solver.at_work`."""
        yield _Solution(task, sandbox)


class _Solution:
    def __init__(self, task: Task, sandbox: Sandbox) -> None:
        self._task = task
        self._sandbox = sandbox
        self._commands = 0

    @property
    def totals(self) -> Totals:
        return Totals(commands=self._commands)

    def bring(self, step: Step, packer: Packer) -> None:
        packer.add_tree(
            solution_of(self._task, step),
            "solution",
            executable={"solution/solve.sh"},
            leaves_out=lambda path: is_ignored(self._task.folder, path),
        )

    async def work(self, step: Step, files: TrialFiles) -> Failure | None:
        """Run solution/solve.sh; as under Harbor its exit status does not matter, only what the verifier finds.

        An empty /logs/artifacts is taken away where nothing will write to it, since what is not there costs nothing to
        fetch.
        """
        env = {"DEBIAN_FRONTEND": "noninteractive", **resolve_env(self._task.config.solution.env)}
        command = "(/solution/solve.sh) > /logs/agent/oracle.txt 2>&1"
        if not step.verifier.collect:
            command += "; status=$?; command -p rmdir /logs/artifacts 2> /dev/null; exit $status"
        self._commands += 1
        result = await self._sandbox.exec(command, env=env, timeout_sec=step.agent.timeout_sec, user=step.agent.user)
        files.harness_log.write_text(f"solve.sh ended with {result.return_code}\n", encoding="utf-8")
        if result.timed_out:
            return Failure(cause=FailureCause.HARNESS_TIMEOUT, detail="solve.sh ran out of time")
        return None


class HarnessSolver:
    """Lets the harness try one trial, with a gateway session of its own; `meter` counts its calls."""

    is_trusted = False

    def __init__(self, harness: HarnessProcess, gateway: Gateway, limits: TrialSettings, meter: Meter) -> None:
        self._harness = harness
        self._gateway = gateway
        self._limits = limits
        self._meter = meter

    async def equipped(self, spec: SandboxSpec) -> SandboxSpec:
        """See `Solver.equipped`."""
        return await self._harness.equipped(spec)

    @asynccontextmanager
    async def at_work(self, task: Task, sandbox: Sandbox, files: TrialFiles) -> AsyncGenerator[Worker]:
        """See `Solver.at_work`; its token is dead afterwards."""
        async with self._gateway.session(files, sandbox, self._limits, self._meter) as session:
            yield _HarnessAtWork(task, sandbox, self._harness, session, self._limits)


class _HarnessAtWork:
    def __init__(
        self, task: Task, sandbox: Sandbox, harness: HarnessProcess, session: Session, limits: TrialSettings
    ) -> None:
        self._task = task
        self._sandbox = sandbox
        self._harness = harness
        self._session = session
        self._limits = limits

    @property
    def totals(self) -> Totals:
        session = self._session
        return Totals(usage=session.usage, commands=session.commands, notices=session.notices, cheats=session.cheats)

    def bring(self, step: Step, packer: Packer) -> None:
        """See `Worker.bring`; it needs nothing."""

    async def work(self, step: Step, files: TrialFiles) -> Failure | None:
        """Have the harness try this step and wait for its end."""
        self._session.begin_step(step.name, step.agent.user)
        order = Order(
            trial=files.folder.name,
            token=self._session.token,
            instruction=step.instruction,
            offers=self._task.config.environment.model_dump(mode="json", include={"skills_dir", "mcp_servers"}),
            timeout_sec=step.agent.timeout_sec or self._limits.timeout_sec,
            log=files.harness_log,
        )
        end = await self._harness.try_task(order, self._sandbox, step.agent.user)
        await self._session.settle()
        return _failure(end, self._session)


def _failure(end: HarnessEnd, session: Session) -> Failure | None:
    """What the server saw at the gateway explains more than how the harness then ended."""
    if session.failure is not None:
        return session.failure
    cause = {
        "returned": None,
        "raised": FailureCause.HARNESS_CRASHED,
        "crashed": FailureCause.HARNESS_CRASHED,
        "timeout": FailureCause.HARNESS_TIMEOUT,
        "lost": FailureCause.HARNESS_SANDBOX_LOST,
    }[end.how]
    return Failure(cause=cause, detail=end.detail) if cause else None
