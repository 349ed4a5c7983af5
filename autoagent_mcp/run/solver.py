"""Who works on a task: the harness, the oracle or nobody.

The oracle runs the task's own solution and must pass; the nop does nothing and must not. Both are Harbor's, and show
whether a task measures anything.
"""

from __future__ import annotations

from typing import Protocol

import anyio

from autoagent_mcp.config import TrialSettings
from autoagent_mcp.gateway.app import Gateway
from autoagent_mcp.gateway.session import Session
from autoagent_mcp.harness.process import HarnessEnd, HarnessProcess
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Failure, FailureCause, TrialFiles, Usage
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Sandbox
from autoagent_mcp.task import resolve_env

_disk = anyio.CapacityLimiter(4)


class Outcome(Frozen):
    """How a solver ended."""

    failure: Failure | None = None
    usage: Usage = Usage()
    commands: int = 0
    notices: tuple[str, ...] = ()


class Solver(Protocol):
    """Works on one task in its sandbox."""

    async def solve(self, task: Task, sandbox: Sandbox, files: TrialFiles) -> Outcome:
        """Work until done, failed or out of time; what failed is told, not raised.

        Raises:
            SandboxError: The sandbox is gone.
        """
        ...


class Nop:
    """Does nothing."""

    async def solve(self, task: Task, sandbox: Sandbox, files: TrialFiles) -> Outcome:  # noqa: ARG002 - the interface
        """End at once."""
        return Outcome()


class Oracle:
    """Runs the task's own solution."""

    async def solve(self, task: Task, sandbox: Sandbox, files: TrialFiles) -> Outcome:
        """Run solution/solve.sh; as under Harbor its exit status does not matter, only what the verifier finds."""
        await sandbox.put(await anyio.to_thread.run_sync(_pack_solution, task, limiter=_disk), "/")
        env = {"DEBIAN_FRONTEND": "noninteractive", **resolve_env(task.config.solution.env)}
        command = "(/solution/solve.sh) > /logs/agent/oracle.txt 2>&1"
        result = await sandbox.exec(command, env=env, timeout_sec=task.config.agent.timeout_sec)
        files.harness_log.write_text(f"solve.sh ended with {result.return_code}\n", encoding="utf-8")
        timed_out = Failure(cause=FailureCause.HARNESS_TIMEOUT, detail="solve.sh ran out of time")
        return Outcome(failure=timed_out if result.timed_out else None, commands=1)


def _pack_solution(task: Task) -> bytes:
    return archive.pack(task.folder / "solution", under="solution", executable={"solution/solve.sh"})


class HarnessSolver:
    """Lets the harness try, with a gateway session of its own for each trial."""

    def __init__(self, harness: HarnessProcess, gateway: Gateway, limits: TrialSettings) -> None:
        self._harness = harness
        self._gateway = gateway
        self._limits = limits

    async def solve(self, task: Task, sandbox: Sandbox, files: TrialFiles) -> Outcome:
        """Fork the warmed harness for this task and wait for its end; its token is dead afterwards."""
        async with self._gateway.session(files, sandbox, self._limits) as session:
            end = await self._harness.try_task(
                trial=files.folder.name,
                token=session.token,
                instruction=task.instruction,
                timeout_sec=task.config.agent.timeout_sec or self._limits.timeout_sec,
                log=files.harness_log,
            )
        return Outcome(
            failure=_failure(end, session), usage=session.usage, commands=session.commands, notices=session.notices
        )


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
