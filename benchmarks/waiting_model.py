"""A model that answers nobody until everybody has called, and a harness that calls it once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

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
        self.url = ""
        self.most_at_once = 0
        self._awaited = awaited
        self._waiting = 0
        self._all_there = anyio.Event()

    async def answer(self, _: Request) -> JSONResponse:
        """Answer once everybody waits."""
        self._waiting += 1
        self.most_at_once = max(self.most_at_once, self._waiting)
        if self._waiting >= self._awaited:
            self._all_there.set()
        await self._all_there.wait()
        self._waiting -= 1
        return JSONResponse(ANSWER)


@asynccontextmanager
async def serve_waiting_model(awaited: int) -> AsyncGenerator[WaitingModel]:
    """Serve it on a loopback port."""
    model = WaitingModel(awaited)
    app = Starlette(routes=[Route("/v1/chat/completions", model.answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    async with anyio.create_task_group() as group:
        await server.startup()
        model.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
        group.start_soon(server.main_loop)
        try:
            yield model
        finally:
            server.should_exit = True
            with anyio.CancelScope(shield=True):
                await server.shutdown()
            group.cancel_scope.cancel()
