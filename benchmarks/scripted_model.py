"""A model that plays a meta-agent by a script, in the four wire formats that coding agents speak.

Messages, Responses, Chat Completions and Gemini's generateContent; each answer in one event or two, as clients take it.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
Call = tuple[str, Json]
"""A tool of autoagent and its arguments."""
Script = Callable[[int], Generator[Call, str]]
"""What the model does in its n-th conversation; it is sent what each call answered. At its end the model stops."""

_USAGE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
_SERVED_BESIDE = 3
"""A request with fewer tools is the client's own, for a title or the like."""


class ScriptedModel(ThreadingHTTPServer):
    """The provider."""

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._script = script
        self._lock = threading.Lock()
        self._conversations = 0
        self._at = -1
        self._turns = 0
        self._running: Generator[Call, str] | None = None

    def next_call(self, answers: list[str]) -> tuple[int, Call | None]:
        """Return the number of this turn, and what is called now; None where the model stops."""
        with self._lock:
            self._turns += 1
            try:
                if not answers and self._at:
                    self._conversations += 1
                    self._running = self._script(self._conversations)
                    call = next(self._running)
                else:
                    call = self._running.send(answers[-1]) if self._running else None
            except StopIteration:
                call = None
            self._at = len(answers)
            return self._turns, call


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedModel  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        """Answer in the format of the path."""
        body: Json = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.partition("?")[0]
        for ending, write in _FORMATS.items():
            if path.endswith(ending):
                events = write(self.server, body)
                is_stream = body.get("stream") or "stream" in ending
                self._send("".join(events) if is_stream else "{}", "text/event-stream" if is_stream else "")
                return
        self._send("{}")

    def do_HEAD(self) -> None:
        """Say that somebody is there."""
        self._send("")

    def _send(self, text: str, kind: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind or "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        """Say nothing."""


def _event(data: Json) -> str:
    name = f"event: {data['type']}\n" if "type" in data else ""
    return f"{name}data: {json.dumps(data)}\n\n"


def _full(names: list[str], call: Call) -> str:
    return next(name for name in names if re.search(rf"autoagent_+{call[0]}$", name))


def _messages(model: ScriptedModel, body: Json) -> list[str]:
    names = [tool["name"] for tool in body.get("tools", [])]
    contents = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    answers = [json.dumps(part) for parts in contents for part in parts if part["type"] == "tool_result"]
    number, call = model.next_call(answers) if len(names) > _SERVED_BESIDE else (0, None)
    block: Json
    if call:
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": _full(names, call), "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(call[1])}
    else:
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": "I am done."}
    begun: Json = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": body["model"], "content": []}
    end = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
    events: list[Json] = [
        {"type": "message_start", "message": {**begun, "stop_reason": None, "stop_sequence": None, "usage": _USAGE}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": _USAGE},
        {"type": "message_stop"},
    ]
    return [_event(event) for event in events]


def _responses(model: ScriptedModel, body: Json) -> list[str]:
    spaces = [tool["name"] for tool in body["tools"] if tool["type"] == "namespace" and "autoagent" in tool["name"]]
    answers = [json.dumps(item) for item in body["input"] if item["type"] == "function_call_output"]
    number, call = model.next_call(answers)
    item: Json = {"type": "message", "id": f"msg_{number}", "role": "assistant"}
    if call:
        item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "namespace": spaces[0]}
        item |= {"name": call[0], "arguments": json.dumps(call[1])}
    else:
        item["content"] = [{"type": "output_text", "text": "I am done."}]
    answer = {"id": f"resp_{number}"}
    return [
        _event({"type": "response.created", "response": answer}),
        _event({"type": "response.output_item.done", "output_index": 0, "item": item}),
        _event({"type": "response.completed", "response": {**answer, "usage": _USAGE}}),
    ]


def _chat(model: ScriptedModel, body: Json) -> list[str]:
    names = [tool["function"]["name"] for tool in body.get("tools", [])]
    answers = [json.dumps(message) for message in body["messages"] if message["role"] == "tool"]
    number, call = model.next_call(answers) if len(names) > _SERVED_BESIDE else (0, None)
    delta: Json = {"role": "assistant", "content": "I am done."}
    if call:
        function = {"name": _full(names, call), "arguments": json.dumps(call[1])}
        delta = {"tool_calls": [{"index": 0, "id": f"call_{number}", "type": "function", "function": function}]}
    head = {"id": f"chat_{number}", "object": "chat.completion.chunk", "created": 0, "model": body["model"]}
    ends = "tool_calls" if call else "stop"
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return [
        _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}),
        _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": ends}], "usage": usage}),
        "data: [DONE]\n\n",
    ]


def _generated(model: ScriptedModel, body: Json) -> list[str]:
    names = [told["name"] for tool in body.get("tools", []) for told in tool.get("functionDeclarations", [])]
    parts = [part for content in body["contents"] for part in content["parts"]]
    answers = [json.dumps(part) for part in parts if "functionResponse" in part]
    number, call = model.next_call(answers) if len(names) > _SERVED_BESIDE else (0, None)
    part: Json = {"text": "I am done."}
    if call:
        part = {"functionCall": {"id": f"call_{number}", "name": _full(names, call), "args": call[1]}}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
    return [_event({"candidates": [candidate], "usageMetadata": usage})]


_FORMATS: dict[str, Callable[[ScriptedModel, Json], list[str]]] = {
    "/messages": _messages,
    "/responses": _responses,
    "/chat/completions": _chat,
    ":streamGenerateContent": _generated,
}
