"""Writes model calls and commands to a trial's folder as they happen.

A line is in the system's hands (not necessarily on the platter) before the call goes on: what a trial did survives
`kill -9` of the server. Files are opened for each line, since 512 trials side by side must not hold 1024 open.
"""

from __future__ import annotations

from pathlib import Path

from autoagent_mcp.gateway.api import RefusedError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.records import Exec, ModelRequest, ModelResponse

OUTPUT_LIMIT_CHARS = 100_000
"""What is recorded of a command, and of each of its outputs."""

EXECS_LIMIT_BYTES = 64 * 1024 * 1024
"""Past this a trial's commands are recorded without their output: a harness in a loop shall not fill the disk."""

CALLS_LIMIT_BYTES = 512 * 1024 * 1024
"""Past this a session's model calls are refused, since a call that cannot be recorded does not go out."""

_SHORT_CHARS = 200


class Recorder:
    """One session's record.

    Args:
        calls: Where model calls go.
        execs: Where commands go.
        secret: What is replaced wherever it stands: the provider's key.
        calls_limit_bytes: Past this model calls are refused.
    """

    def __init__(
        self, calls: Path, execs: Path, secret: str | None, calls_limit_bytes: int = CALLS_LIMIT_BYTES
    ) -> None:
        self._calls = calls
        self._execs = execs
        self._secret = secret
        self._calls_limit_bytes = calls_limit_bytes
        self.step = ""
        """Stands in every line."""
        self._calls_bytes = 0
        self._execs_bytes = 0
        self.failure: OSError | None = None
        """The first line that could not be written, for example because the disk is full."""

    def request(self, line: ModelRequest) -> None:
        """Write a request before it goes out.

        Raises:
            RefusedError: It could not be written, or more has been written than is allowed.
        """
        if self._calls_bytes > self._calls_limit_bytes:
            text = f"the record of the model calls takes more than {self._calls_limit_bytes} bytes on disk"
            raise RefusedError(400, "too_much_recorded", text)
        self._calls_bytes += self._append(self._calls, line.model_copy(update={"step": self.step}))
        if self.failure:
            raise RefusedError(400, "not_recorded", "the call could not be recorded, so it was not sent")

    def response(self, line: ModelResponse) -> None:
        """Write what came back."""
        self._calls_bytes += self._append(self._calls, line)

    def exec(self, line: Exec) -> None:
        """Write a command that ended, its output cut."""
        limit = OUTPUT_LIMIT_CHARS if self._execs_bytes < EXECS_LIMIT_BYTES else _SHORT_CHARS
        texts = {"step": self.step}
        texts |= {field: _cut(getattr(line, field), limit) for field in ("command", "stdout", "stderr", "error")}
        self._execs_bytes += self._append(self._execs, line.model_copy(update=texts))

    def _append(self, path: Path, line: Frozen) -> int:
        data = line.model_dump_json().encode() + b"\n"
        if self._secret:
            data = data.replace(self._secret.encode(), b"[key]")
        try:
            with path.open("ab", buffering=0) as file:
                file.write(data)
        except OSError as error:
            self.failure = self.failure or error
        return len(data)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters not recorded ...]\n{text[-half:]}"
