"""A model that answers nobody until everybody has called, in a process of its own; and a harness that calls it once.

`python benchmarks/waiting_model.py N` serves it: prints its URL, and answers the N calls when the last has come.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

HARNESS = b"""
import asyncio, json, os, urllib.request

def ask():
    body = {"model": "waiting", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=600).read()

async def run_task(environment, instruction):
    await asyncio.to_thread(ask)
    return "done"
"""

ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 0,
    "model": "waiting",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


class WaitingModel:
    """Counts who waits and lets all go when the last has come."""

    def __init__(self, awaited: int) -> None:
        self._awaited = awaited
        self._waiting = 0
        self._most_at_once = 0
        self._answered = 0
        self._all_there = anyio.Event()

    async def answer(self, _: Request) -> JSONResponse:
        """Answer once everybody waits."""
        self._waiting += 1
        self._most_at_once = max(self._most_at_once, self._waiting)
        if self._waiting >= self._awaited:
            self._all_there.set()
        await self._all_there.wait()
        self._waiting -= 1
        self._answered += 1
        return JSONResponse(ANSWER)

    async def count(self, _: Request) -> JSONResponse:
        """Say how many waited at once, and how many were answered."""
        return JSONResponse([self._most_at_once, self._answered])


class RunningModel:
    """The process, seen from the benchmark."""

    def __init__(self, url: str) -> None:
        self.url = url

    def most_at_once(self) -> int:
        """Ask how many calls waited at once."""
        return self._count()[0]

    def answered(self) -> int:
        """Ask how many calls were answered."""
        return self._count()[1]

    def _count(self) -> list[int]:
        with urllib.request.urlopen(f"{self.url}/count", timeout=10) as answer:  # noqa: S310 - our own, on loopback
            return json.loads(answer.read())


@contextmanager
def waiting_model(awaited: int) -> Generator[RunningModel]:
    """Run the model until the context is left."""
    words = [sys.executable, str(Path(__file__)), str(awaited)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            yield RunningModel(process.stdout.readline().strip())
        finally:
            process.kill()


def main() -> None:
    """Serve."""
    model = WaitingModel(int(sys.argv[1]))
    routes = [
        Route("/v1/chat/completions", model.answer, methods=["POST"]),
        Route("/v1/count", model.count, methods=["GET"]),
    ]
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
    uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="warning")).run([listener])


if __name__ == "__main__":
    main()
