"""What was found about one thing."""

from __future__ import annotations

from typing import Literal

from autoagent_mcp.errors import AutoagentError
from autoagent_mcp.models.base import Frozen


class Finding(Frozen):
    """One line of the doctor."""

    check: str
    state: Literal["ok", "warning", "failed"]
    """`warning`: a night can begin, but it will not be what one may expect."""
    said: str
    cure: str = ""


def ok(check: str, said: str) -> Finding:
    """Return that something is right."""
    return Finding(check=check, state="ok", said=said)


def warning(check: str, said: str, cure: str) -> Finding:
    """Return that something is not as it could be."""
    return Finding(check=check, state="warning", said=said, cure=cure)


def failed(check: str, error: AutoagentError) -> Finding:
    """Return that no run can begin, and why."""
    return Finding(check=check, state="failed", said=error.problem, cure=error.hint)
