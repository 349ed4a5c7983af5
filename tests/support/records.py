"""What a gateway would have recorded of a trial, and how its trace is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

from support.atif import Step, Trajectory

from autoagent_mcp import trace
from autoagent_mcp.models.records import Exec, ModelRequest, ModelResponse
from autoagent_mcp.models.trial import TrialFiles, Usage

Body = dict[str, Any]
ApiName = Literal["chat", "responses", "messages"]

INSTRUCTION = "Count the lines of data.csv."
START = datetime(2026, 11, 21, tzinfo=timezone.utc)
USAGE = Usage(model_calls=1, prompt_tokens=100, completion_tokens=10, cached_tokens=40, cost_usd=0.5)


class Record:
    """Writes what a gateway would, one second per event."""

    def __init__(self, folder: Path, api: ApiName = "chat") -> None:
        self.files = TrialFiles(folder=folder / "count__1")
        self.files.folder.mkdir()
        self._api: ApiName = api
        self.step = ""
        """The task's step that the next lines belong to."""
        self._calls = 0
        self._now = START

    def ask(self, **body: Any) -> int:  # noqa: ANN401 - JSON
        """Write a request."""
        self._calls += 1
        line = ModelRequest(call=self._calls, api=self._api, step=self.step, at=self._tick(), body=body)
        self._line(self.files.model_calls, line)
        return self._calls

    def answer(self, body: Body | None, call: int | None = None, **fields: Any) -> None:  # noqa: ANN401 - JSON
        """Write the response to a request, the last one where none is named."""
        known: Body = {"status": 200, "usage": USAGE, **fields}
        self._line(self.files.model_calls, ModelResponse(call=call or self._calls, at=self._tick(), body=body, **known))

    def run(self, command: str, **fields: Any) -> None:  # noqa: ANN401 - fields of Exec
        """Write a command that ended."""
        known: Body = {"at": self._tick(), "step": self.step, "return_code": 0, "duration_sec": 0.5, **fields}
        self._line(self.files.execs, Exec(command=command, **known))

    def say(self, history: list[Body], text: str, *calls: Body, **body: Any) -> None:  # noqa: ANN401 - JSON
        """Send a history over Chat Completions, answer it and add the answer to the history."""
        self.ask(messages=history, **body)
        answer = assistant(text, *calls)
        self.answer({"choices": [{"message": answer, "finish_reason": "tool_calls" if calls else "stop"}]})
        history.append(answer)

    def build(self, instruction: str = INSTRUCTION) -> Trajectory:
        """Build the trace of a task without steps; see `build_steps`."""
        return self.build_steps({"": instruction})

    def build_steps(self, instructions: Mapping[str, str]) -> Trajectory:
        """Build the trace and hold it against ATIF's rules, in the bytes that a reader would get."""
        built = trace.build(self.files, task="count", instructions=instructions, model="pinned")
        return Trajectory.model_validate_json(json.dumps(built, ensure_ascii=False, allow_nan=False).encode())

    def _tick(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def _line(self, path: Path, line: ModelRequest | ModelResponse | Exec) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(line.model_dump_json() + "\n")


def system(text: str) -> Body:
    """Return a system message."""
    return {"role": "system", "content": text}


def user(text: str) -> Body:
    """Return a user message."""
    return {"role": "user", "content": text}


def assistant(text: str, *calls: Body) -> Body:
    """Return an assistant message, with its tool calls."""
    return {"role": "assistant", "content": text, **({"tool_calls": list(calls)} if calls else {})}


def call(own: str, name: str, arguments: str = "{}") -> Body:
    """Return a tool call."""
    return {"id": own, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(own: str, text: str) -> Body:
    """Return a tool's result."""
    return {"role": "tool", "tool_call_id": own, "content": text}


def told(trajectory: Trajectory) -> list[tuple[str, str]]:
    """Return who said what."""
    return [(step.source, str(step.message)) for step in trajectory.steps]


def results(step: Step) -> list[tuple[str | None, str]]:
    """Return a step's results with the calls that they answer."""
    return [(one.source_call_id, str(one.content)) for one in (step.observation.results if step.observation else [])]


def extra(step: Step) -> Body:
    """Return a step's extra fields."""
    assert step.extra is not None
    return step.extra
