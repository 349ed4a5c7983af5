"""Our failure causes under the names that Harbor knows."""

from __future__ import annotations

from datetime import datetime

from autoagent_mcp.export.documents import ExceptionInfo
from autoagent_mcp.models.trial import Failure, FailureCause

NAMES: dict[FailureCause, str] = {
    FailureCause.HARNESS_TIMEOUT: "AgentTimeoutError",
    # Harbor has no name for a spent budget of turns, tokens or money whose reward stays valid, but this one's group.
    FailureCause.OUT_OF_TURNS: "AgentTimeoutError",
    FailureCause.OUT_OF_BUDGET: "AgentTimeoutError",
    FailureCause.HARNESS_CRASHED: "NonZeroAgentExitCodeError",
    FailureCause.REWARD_GARBLED: "VerifierOutputParseError",
    FailureCause.STEP_BROKEN: "RuntimeError",
    FailureCause.SETUP_FAILED: "RuntimeError",
    FailureCause.UNHEALTHY: "HealthcheckError",
    FailureCause.SANDBOX_LOST: "RuntimeRequestError",
    FailureCause.HARNESS_SANDBOX_LOST: "RuntimeRequestError",
    FailureCause.IMAGE_FAILED: "SandboxBuildFailedError",
    FailureCause.MODEL_PROVIDER_DOWN: "ApiConnectionError",
    FailureCause.JUDGE_DOWN: "RewardFileNotFoundError",
    FailureCause.JUDGE_UNREACHABLE: "RewardFileNotFoundError",
    FailureCause.JUDGE_REFUSED: "RewardFileNotFoundError",
    FailureCause.JUDGE_OUT_OF_BUDGET: "RewardFileNotFoundError",
    FailureCause.VERIFIER_TIMEOUT: "VerifierTimeoutError",
    FailureCause.REWARD_MISSING: "RewardFileNotFoundError",
    FailureCause.REWARD_EMPTY: "RewardFileEmptyError",
    FailureCause.REWARD_UNPARSABLE: "VerifierOutputParseError",
    FailureCause.REWARD_NOT_FINITE: "VerifierOutputParseError",
    FailureCause.REWARD_NOT_A_NUMBER: "VerifierOutputParseError",
    FailureCause.CANCELLED: "CancelledError",
    FailureCause.INTERRUPTED: "CancelledError",
    FailureCause.INTERNAL_ERROR: "RuntimeError",
}
"""Harbor reads from the name alone who is to blame, whether the reward holds and what `harbor job resume` takes up
again (`harbor.models.trial.error_policy`, harbor 0.25): each cause has the name whose rule is nearest to its own."""


def exception_info(failure: Failure, traceback: str, at: datetime) -> ExceptionInfo:
    """Return a failure as Harbor tells it; the message begins with our own name for it."""
    cause = failure.cause.value
    return ExceptionInfo(
        exception_type=NAMES[failure.cause],
        exception_message=f"{cause}: {failure.detail}" if failure.detail else cause,
        exception_traceback=traceback,
        occurred_at=at,
    )
