"""The routes that lead into the trial's task sandbox: commands and files.

Everything here is asked for by the harness and answered by a sandbox that it controls: both are hostile.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

import pydantic_core
from pydantic import Field, ValidationError
from starlette.requests import Request

from autoagent_mcp.errors import SandboxError, SandboxRefused
from autoagent_mcp.gateway.api import Fields, JsonObject, RefusedError
from autoagent_mcp.gateway.door import Endpoint, Reply
from autoagent_mcp.gateway.session import Session
from autoagent_mcp.models.records import Exec
from autoagent_mcp.models.trial import Failure, FailureCause
from autoagent_mcp.sandbox.base import Sandbox

COMMAND_LIMIT_BYTES = 2 * 1024 * 1024
ARCHIVE_LIMIT_BYTES = 64 * 1024 * 1024
_TAR = b"application/x-tar"
_PATH_LIMIT = 4096


class _Command(Fields):
    command: str
    cwd: str | None = None
    env: dict[str, str] | None = None
    timeout_sec: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    user: str | int | None = None


class EnvironmentEndpoint(Endpoint):
    """What the environment's routes have in common."""

    def error(self, refused: RefusedError) -> JsonObject:
        """Write a refusal for the environment object of the harness host."""
        return {"error": refused.message}


class Commands(EnvironmentEndpoint):
    """POST /environment/exec."""

    body_limit_bytes = COMMAND_LIMIT_BYTES

    async def work(self, session: Session, request: Request, raw: bytes, reply: Reply) -> None:  # noqa: ARG002
        """Run a command in the task's sandbox."""
        try:
            command = _Command.model_validate_json(raw)
        except ValidationError as error:
            raise RefusedError(400, "invalid_request", f"not a command: {error.errors()[0]['msg']}") from error
        sandbox = _sandbox_of(session)
        if command.user is None:
            command = command.model_copy(update={"user": session.user})
        session.commands += 1
        began = time.monotonic()
        line = Exec(at=_now(), duration_sec=0, **command.model_dump(exclude={"env"}), error="cut off")
        try:
            result = await sandbox.exec(**command.model_dump())
            line = line.model_copy(update={**result.model_dump(), "error": ""})
        except SandboxRefused as error:
            line = line.model_copy(update={"error": str(error)})
            raise RefusedError(400, "refused", str(error)) from error
        except SandboxError as error:
            line = line.model_copy(update={"error": str(error)})
            session.fail(Failure(cause=FailureCause.SANDBOX_LOST, detail=str(error)))
            raise RefusedError(502, "sandbox_lost", str(error)) from error
        finally:
            session.recorder.exec(line.model_copy(update={"duration_sec": time.monotonic() - began}))
        answer = result.model_dump(exclude=set() if result.timed_out else {"timed_out"})
        await reply.whole(200, pydantic_core.to_json(answer))


class Uploads(EnvironmentEndpoint):
    """PUT /environment/upload?path=..."""

    body_limit_bytes = ARCHIVE_LIMIT_BYTES

    async def work(self, session: Session, request: Request, raw: bytes, reply: Reply) -> None:
        """Unpack a tar archive in the task's sandbox."""
        sandbox = _sandbox_of(session)
        with _recorded(session, "upload", _path(request)) as carried:
            async with session.carrying:
                await sandbox.put(raw, carried.path)
            carried.size_bytes = len(raw)
        await reply.whole(200, b"{}")


class Downloads(EnvironmentEndpoint):
    """GET /environment/download?path=..."""

    body_limit_bytes = 0

    async def work(self, session: Session, request: Request, raw: bytes, reply: Reply) -> None:  # noqa: ARG002
        """Return a file or a folder of the task's sandbox as a tar archive."""
        sandbox = _sandbox_of(session)
        with _recorded(session, "download", _path(request)) as carried:
            async with session.carrying:
                archive = await sandbox.get(carried.path, limit_bytes=ARCHIVE_LIMIT_BYTES)
            if archive is None:
                raise RefusedError(404, "not_found", f"there is nothing at {carried.path!r}")
            carried.size_bytes = len(archive)
        await reply.whole(200, archive, _TAR)


def _sandbox_of(session: Session) -> Sandbox:
    if session.sandbox is None:
        raise RefusedError(403, "no_environment", f"{session.role.who} has no sandbox; its key is for models alone")
    return session.sandbox


@dataclass
class _Carried:
    path: str
    size_bytes: int | None = None


@contextmanager
def _recorded(session: Session, kind: Literal["upload", "download"], path: str) -> Generator[_Carried]:
    """Record a file that is carried.

    A sandbox that refuses one (its disk is full, the archive too large) is not taken for lost: a harness could bring
    that about. If it is lost, the next command shows it.
    """
    carried, began, at, problem = _Carried(path), time.monotonic(), _now(), "cut off"
    try:
        yield carried
        problem = ""
    except RefusedError as error:
        problem = error.message
        raise
    except SandboxError as error:
        problem = str(error)
        raise RefusedError(502, "sandbox", problem) from error
    finally:
        duration = time.monotonic() - began
        line = Exec(at=at, duration_sec=duration, kind=kind, command=path, size_bytes=carried.size_bytes, error=problem)
        session.recorder.exec(line)


def _path(request: Request) -> str:
    path = request.query_params.get("path", "")
    if not path or "\0" in path or len(path) > _PATH_LIMIT:
        raise RefusedError(400, "invalid_path", "the query must carry a path, at most 4096 characters and no NUL")
    return path


def _now() -> datetime:
    return datetime.now(timezone.utc)
