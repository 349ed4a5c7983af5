"""Who a session is for, and what follows from what goes wrong in it."""

from __future__ import annotations

from typing import NamedTuple

from autoagent_mcp.models.trial import FailureCause


class Role(NamedTuple):
    """A kind of session. The causes are those that the session's first failure is noted as."""

    who: str
    """What its errors say has ended, or has spent all."""
    caller: str
    """Who sends its requests."""
    provider_down: FailureCause
    out_of_turns: FailureCause
    out_of_budget: FailureCause
    refused: FailureCause | None = None
    """Of a call that the gateway does not allow; None where that is the caller's own affair."""
    stays_down: bool = True
    """Whether a provider that was down once is not asked again."""
    is_renamed: bool = False
    """Whether a call for another model goes to the pinned one, with a notice; else it is refused."""


AGENT = Role(
    who="this trial",
    caller="harness",
    provider_down=FailureCause.MODEL_PROVIDER_DOWN,
    out_of_turns=FailureCause.OUT_OF_TURNS,
    out_of_budget=FailureCause.OUT_OF_BUDGET,
)
"""A harness working on a task."""

JUDGE = Role(
    who="this verification",
    caller="verifier",
    provider_down=FailureCause.JUDGE_DOWN,
    out_of_turns=FailureCause.JUDGE_OUT_OF_BUDGET,
    out_of_budget=FailureCause.JUDGE_OUT_OF_BUDGET,
    refused=FailureCause.JUDGE_REFUSED,
    is_renamed=True,
)
"""A verifier that asks a model. Its tests were written for any judge, so the model that they name is overruled."""

OUTSIDER = AGENT._replace(who="this gateway", caller="client", stays_down=False)
"""Another tool's run of many trials: one that met a provider that was down must not end the others."""
