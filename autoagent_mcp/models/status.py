"""How the loop of a workspace stands, for programs that must not open the ledger: hooks, and who starts clients."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from autoagent_mcp.models.base import Frozen


class Status(Frozen):
    """What `.autoagent/status.json` holds; written whole by the server that writes, last as it ends."""

    version: Literal[1] = 1
    server_pid: int
    server_version: str
    is_serving: bool
    """Whether that server had not ended in order; one that was killed could not say so, see `.autoagent/lock`."""
    is_looping: bool
    """Whether an experiment or a run was begun, or a change decided, since that server began."""
    running: str | None
    """The run that goes on."""
    experiments: int
    incumbent: int | None
    """Its experiment; None before the baseline is measured."""
    passed: int | None
    """Of the incumbent's trials; None where it has no score."""
    trials: int | None
    done: str
    """Why the work is over, as a sentence; empty while it is not."""
    next: str
    """The next step of the loop."""
    spent_usd: float | None
    """By the model calls of all runs on visible tasks; None where a price is unknown."""
    updated_at: AwareDatetime
