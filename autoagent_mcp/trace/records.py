"""Reads what the gateway wrote while the trial ran.

A server that was killed leaves a last line cut in half; a disk that was full may leave more. Such lines are passed over
and counted, never an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from autoagent_mcp.models.records import Exec, ModelRequest, ModelResponse
from autoagent_mcp.models.trial import TrialFiles

ModelLine = ModelRequest | ModelResponse

_Line = TypeVar("_Line")
_MODEL_LINE: TypeAdapter[ModelLine] = TypeAdapter(ModelRequest | ModelResponse)
_EXEC: TypeAdapter[Exec] = TypeAdapter(Exec)


class Records:
    """A trial's lines. They are read one by one: a long trial's requests would not fit in memory together."""

    def __init__(self, files: TrialFiles) -> None:
        self._files = files
        self.unreadable = 0
        """Lines passed over so far."""

    def model_lines(self) -> Iterator[ModelLine]:
        """Requests and responses in the order in which they happened."""
        return self._read(self._files.model_calls, _MODEL_LINE)

    def judge_lines(self) -> Iterator[ModelLine]:
        """The same of the verifier's model calls."""
        return self._read(self._files.judge_calls, _MODEL_LINE)

    def execs(self) -> Iterator[Exec]:
        """Commands in the order in which they ended."""
        return self._read(self._files.execs, _EXEC)

    def _read(self, path: Path, adapter: TypeAdapter[_Line]) -> Iterator[_Line]:
        if not path.is_file():
            return
        with path.open("rb") as file:
            for line in file:
                found = _parse(line, adapter)
                if found is None:
                    self.unreadable += 1
                else:
                    yield found


def _parse(line: bytes, adapter: TypeAdapter[_Line]) -> _Line | None:
    with suppress(ValidationError):
        return adapter.validate_json(line)
    with suppress(ValueError, RecursionError):
        # pydantic's parser refuses half of a surrogate pair, which a model may well write; Python's takes it.
        whole = json.dumps(json.loads(line), ensure_ascii=False)
        return adapter.validate_json(whole.encode(errors="replace"))
    return None
