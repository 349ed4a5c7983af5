"""A model provider that has bad hours: it fails, refuses, hangs, or says that the account is empty."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OUTAGES = ("is unpaid", "fails", "hangs", "is locked", "resets")
"""What goes wrong in turn. Unpaid or locked, trials measure nothing at once; the others are waited out."""
_STATUS = {"fails": 503, "is unpaid": 429, "is locked": 401}
_SAID = {"is unpaid": "insufficient_quota"}


class Provider(ThreadingHTTPServer):
    """Speaks Chat Completions: tells the command that solves a task where the harness's level is above the task's."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.outage = ""
        self.over = threading.Event()
        self.failed_calls = 0

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over a call that broke off: a server was killed while it made it."""

    def go_down(self, outage: str) -> None:
        """Begin an outage."""
        self.over.clear()
        self.outage = outage

    def come_back(self) -> None:
        """End it; calls that hang are answered."""
        self.outage = ""
        self.over.set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        """Answer a call, as well as it can just now."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        outage = self.server.outage
        if outage:
            self.server.failed_calls += 1
        if outage == "resets":
            self.close_connection = True
            return
        if outage == "hangs":
            self.server.over.wait()
        failure = {"error": {"message": _SAID.get(outage, outage)}}
        self._send(_STATUS.get(outage, 200), failure if outage in _STATUS else _answer(body))

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the standard library's names
        """Say nothing."""


def _answer(body: dict[str, Any]) -> dict[str, Any]:
    prompt, instruction = (message["content"] for message in body["messages"])
    is_able = int(instruction.split()[-1]) < int(prompt.split()[-1])
    message = {"role": "assistant", "content": "echo 42 > answer.txt" if is_able else "true"}
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": choices,
        "usage": usage,
    }


@contextmanager
def provider() -> Generator[Provider]:
    """Serve it from a thread until the context is left."""
    with Provider() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.come_back()
            server.shutdown()
