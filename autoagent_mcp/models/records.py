"""The lines of model_calls.jsonl and execs.jsonl: written by the gateway as things happen, read by the trace.

A model call is two lines with the same `call`: its request, written before it goes out, and its response, written when
it ended. A call without a response line was under way when its trial, or the server, was killed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.trial import Usage

Api = Literal["chat", "responses", "messages"]


class ModelRequest(Frozen):
    """A request as it went to the provider: the harness's own, with model and effort pinned; never a key."""

    event: Literal["request"] = "request"
    call: int
    """Counted in the trial from 1."""
    api: Api
    step: str = ""
    """The task's step; "" where it has only one."""
    at: datetime
    body: dict[str, Any]
    reserved: Usage = Usage()
    """What was set aside for it, which it is taken to have cost where no answer follows."""


class ModelResponse(Frozen):
    """What came back, whole: a stream is put together to the object that the same call without streaming returns."""

    event: Literal["response"] = "response"
    call: int
    at: datetime
    status: int | None
    """HTTP status; None where no answer came."""
    body: dict[str, Any] | None = None
    complete: bool = True
    """False where the stream broke off, or the harness went away: `body` holds what had come by then."""
    error: str = ""
    usage: Usage = Usage()


class Exec(Frozen):
    """A command that the harness ran in its task's sandbox, or a file that it carried; one line when it ended."""

    at: datetime
    """When it began."""
    duration_sec: float
    kind: Literal["exec", "upload", "download"] = "exec"
    command: str
    """The command, or the path inside."""
    step: str = ""
    """The task's step; "" where it has only one."""
    cwd: str | None = None
    user: str | int | None = None
    timeout_sec: float | None = None
    return_code: int | None = None
    """None where it did not end: the sandbox was lost or the harness killed."""
    timed_out: bool = False
    stdout: str = ""
    stderr: str = ""
    size_bytes: int | None = None
    """Of a file carried."""
    error: str = ""
