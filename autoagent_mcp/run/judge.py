"""A model for the verifiers that ask one.

A verifier whose env names one of the standard variables gets all four, pointing at a relay in its own sandbox and so at
the gateway, with a token that is dead when the verification ends. What this machine's own variables of these names hold
never comes near it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from autoagent_mcp.config import JudgeSettings
from autoagent_mcp.errors import SandboxError
from autoagent_mcp.gateway.app import Gateway
from autoagent_mcp.gateway.meter import Meter
from autoagent_mcp.gateway.variables import variables
from autoagent_mcp.harness import relay
from autoagent_mcp.models.task import Step, Task
from autoagent_mcp.models.trial import Failure, FailureCause, TrialFiles, Usage
from autoagent_mcp.run.task_env import JUDGE_VARIABLES, own_env
from autoagent_mcp.sandbox.base import Sandbox
from autoagent_mcp.task import resolve_env

SEEN_AT_THE_GATEWAY = frozenset({FailureCause.JUDGE_DOWN, FailureCause.JUDGE_REFUSED, FailureCause.JUDGE_OUT_OF_BUDGET})
"""For these nothing follows from the same verifier's working in another sandbox, at another time."""


class JudgeUnreachable(Exception):  # noqa: N818 - how a verification ended
    """There is no way from the verifier's sandbox to the gateway."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.failure = Failure(cause=FailureCause.JUDGE_UNREACHABLE, detail=problem)


@dataclass
class Hearing:
    """One verification, which may ask the judge."""

    env: dict[str, str]
    """What its tests get."""
    failure: Failure | None = None
    """What went wrong with the judge, known once the context is left; then no reward counts, whatever was written."""


class Judge:
    """What one trial's verifiers ask, and what that took.

    Args:
        gateway: Serves the judge's model; None where no task of the run asks for one.
        settings: The workspace's judge.
        meter: Counts its calls with the trial's own.
    """

    def __init__(self, gateway: Gateway | None, settings: JudgeSettings | None, meter: Meter) -> None:
        self._gateway = gateway
        self._settings = settings
        self._meter = meter
        self.usage = Usage()
        self.notices: tuple[str, ...] = ()

    @asynccontextmanager
    async def hearing(self, step: Step, sandbox: Sandbox, files: TrialFiles) -> AsyncGenerator[Hearing]:
        """Give one verification its env; with the context its token and its calls under way end.

        Args:
            step: Whose verification.
            sandbox: Where the tests will run.
            files: Of the step; calls are recorded there.

        Raises:
            JudgeUnreachable: The sandbox cannot be given a way to the judge.
            SandboxError: The sandbox is gone.
            TaskError: The env needs a variable that is not set here.
            OSError: On leaving: the record could not be written.
        """
        hearing = Hearing(resolve_env(own_env(step)))
        if self._gateway is None or self._settings is None or not is_asked(step):
            yield hearing
            return
        async with self._gateway.judge_session(files, self._settings.budget, self._meter) as session:
            try:
                async with _offered(sandbox, self._gateway.port) as port:
                    hearing.env |= variables(port, session.token)
                    yield hearing
            finally:
                await session.close()
                hearing.failure = session.failure or _rejected(session.rejection)
                self.usage += session.usage
                self.notices += session.notices


def is_asked(step: Step) -> bool:
    """Tell whether a step's verifier asks a model."""
    return not JUDGE_VARIABLES.isdisjoint(step.verifier.env)


def is_asked_by(tasks: Iterable[Task]) -> bool:
    """Tell whether a verifier of any of these tasks asks a model."""
    return any(is_asked(step) for task in tasks for step in task.steps)


def complaints(task: Task, settings: JudgeSettings | None) -> tuple[str, ...]:
    """Say what a task asks for that a workspace without a judge does not have."""
    asked = {name for step in task.steps for name in JUDGE_VARIABLES.intersection(step.verifier.env)}
    if settings is not None or not asked:
        return ()
    names = ", ".join(sorted(asked))
    return (f"task.toml: [verifier.env] {names} asks for a model; add [judge] to autoagent.toml, with its name",)


def _rejected(problem: str) -> Failure | None:
    """A judge that was asked and refused, and answered nothing after that, judged nothing."""
    return Failure(cause=FailureCause.JUDGE_REFUSED, detail=f"its provider refused: {problem}") if problem else None


@asynccontextmanager
async def _offered(sandbox: Sandbox, gateway_port: int) -> AsyncGenerator[int]:
    """Offer the relay, and tell a sandbox in which it does not come up from one that is gone."""
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(relay.offered(sandbox, gateway_port))
        except SandboxError as error:
            await sandbox.exec(":")
            raise JudgeUnreachable(str(error)) from error
        yield port
