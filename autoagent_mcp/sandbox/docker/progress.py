"""Calls to an engine that tell line by line how they get on, and that can be stopped: builds and pulls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import anyio
import requests
from docker.errors import create_api_error_from_http_exception

from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.errors import EngineError
from autoagent_mcp.sandbox.docker.engine import Client, Engine, hang_up

_PATIENCE_SEC = 30.0
_AGAIN_SEC = 0.2


async def follow(
    engine: Engine,
    path: str,
    on_line: Callable[[dict[str, Any]], None],
    *,
    timeout_sec: float,
    stop: Callable[[], object] | None = None,
    **request: object,
) -> None:
    """POST, and hand each line of the answer over as it comes.

    On a cancellation, and when the time is up, the engine is told to stop, and nothing of the call goes on.

    Args:
        engine: Whom to call.
        path: Below the API's version: "/build".
        on_line: Called in a worker thread.
        timeout_sec: For the whole call.
        stop: Another call that makes the engine stop, beside hanging up.
        request: `params`, `headers` and `data` for requests.

    Raises:
        TimeoutError: The time is up.
        EngineError: The engine refused, or is away.
        OSError: `on_line` raised it.
    """
    call = _Call(engine.client, on_line)
    ended = anyio.Event()
    is_late = False

    async def watch() -> None:
        nonlocal is_late
        try:
            await anyio.sleep(timeout_sec)
            is_late = True
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(engine, call, ended, stop)

    async with background_tasks() as group:
        group.start_soon(watch)
        try:
            await engine.stream(call.run, path, timeout=timeout_sec + _PATIENCE_SEC, **request)
        finally:
            ended.set()
    if call.failure is not None:
        raise call.failure
    if is_late:
        raise TimeoutError


async def _stop(engine: Engine, call: _Call, ended: anyio.Event, stop: Callable[[], object] | None) -> None:
    """Hang up until it has ended, again and again: the engine may not have known of the call yet."""
    while not ended.is_set():
        call.hang_up()
        if stop is not None:
            with suppress(EngineError):
                await engine.call(stop)
        with anyio.move_on_after(_AGAIN_SEC):
            await ended.wait()


class _Call:
    def __init__(self, client: Client, on_line: Callable[[dict[str, Any]], None]) -> None:
        self._client = client
        self._on_line = on_line
        self._response: requests.Response | None = None
        self._is_over = False
        self.failure: OSError | None = None
        """What the receiver of the lines raised, told apart from errors of the connection."""

    def run(self, path: str, **request: Any) -> None:  # noqa: ANN401 - what requests takes
        url = f"{self._client.base_url}/v{self._client.api_version}{path}"
        response: requests.Response
        with self._client.post(url, stream=True, **request) as response:
            _check(response)
            self._response = response
            try:
                for line in response.iter_lines(chunk_size=65536):
                    if self._is_over:
                        return
                    if line:
                        self._hand_over(json.loads(line))
            except requests.RequestException:
                if not self._is_over:
                    raise

    def _hand_over(self, line: dict[str, Any]) -> None:
        try:
            self._on_line(line)
        except OSError as error:
            self.failure = error
            self._is_over = True

    def hang_up(self) -> None:
        self._is_over = True
        if self._response is not None:
            hang_up(self._response)


def _check(response: requests.Response) -> None:
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        create_api_error_from_http_exception(error)


def said(line: Mapping[str, Any]) -> str:
    """Return the error that a line tells, "" where it tells none."""
    detail: Mapping[str, Any] = line.get("errorDetail") or {}
    return str(detail.get("message") or line.get("error") or "")
