"""What the engine tells by itself of sandboxes in use: that it went away, that one stopped or had no memory left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio
import anyio.from_thread
import requests
from anyio.abc import TaskStatus

from autoagent_mcp.errors import EngineError
from autoagent_mcp.sandbox.docker import labels
from autoagent_mcp.sandbox.docker.engine import Engine, hang_up, translated, wait_for_ever

_PAUSE_SEC = 0.5
_CHUNK_BYTES = 65536


class Watch:
    """A line to the engine that breaks when the engine does.

    Args:
        engine: Which.
        owner: The label of what is watched.
    """

    def __init__(self, engine: Engine, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        self._ooms: dict[str, anyio.Event] = {}
        self._stops: dict[str, anyio.Event] = {}
        self._events: requests.Response | None = None
        self._is_stopped = False
        self.generation = 0
        """Grows each time the engine goes away: what was started before is lost, even if the engine kept its files."""
        self.network: str | None = None
        """The engine's name for the network that sandboxes of this process share, once it is made."""

    def next_oom(self, container: str) -> anyio.Event:
        """Return what is set when memory runs out in a container the next time."""
        return self._ooms.setdefault(container, anyio.Event())

    def next_stop(self, container: str) -> anyio.Event:
        """Return what is set when a container stops, or is stopped, the next time."""
        return self._stops.setdefault(container, anyio.Event())

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Watch until cancelled.

        Raises:
            EngineError: Before it has begun: the engine does not answer.
        """
        await self._engine.call(self._listen)
        task_status.started()
        try:
            while True:
                await self._engine.stream(self._read)
                if self._is_stopped:
                    return
                self.generation += 1
                await self._again()
                if self._is_stopped:  # while the engine was away
                    return
        finally:
            self.stop()
            if self._events is not None:
                self._events.close()

    def stop(self) -> None:
        """Watch no more: cut the line, so that the thread that reads it ends."""
        self._is_stopped = True
        if self._events is not None:
            hang_up(self._events)

    async def _again(self) -> None:
        """Listen again once the engine is back, or leave off where that is wanted no more."""
        while not self._is_stopped:
            await anyio.sleep(_PAUSE_SEC)
            with suppress(EngineError):
                await self._engine.call(self._listen)
                return

    def _listen(self) -> None:
        client = self._engine.client
        filters = {"type": ["container"], "event": ["oom", "die"], "label": [f"{labels.OWNER}={self._owner}"]}
        url = f"{client.base_url}/v{client.api_version}/events"
        params = {"filters": json.dumps(filters)}
        answer: requests.Response = client.get(url, params=params, stream=True, timeout=client.timeout)
        self._events = answer
        answer.raise_for_status()
        wait_for_ever(answer)  # it begins at once, and then may say nothing for hours

    def _read(self) -> None:
        with suppress(EngineError):
            translated(self._count)

    def _count(self) -> None:
        if self._events is None:
            return
        with self._events as events:
            for line in events.iter_lines(chunk_size=_CHUNK_BYTES):
                if line:
                    anyio.from_thread.run_sync(self._note, json.loads(line))

    def _note(self, event: Mapping[str, Any]) -> None:
        container = event["Actor"]["ID"]
        waiting = self._ooms if event["Action"] == "oom" else self._stops
        if container in waiting:
            waiting.pop(container).set()
