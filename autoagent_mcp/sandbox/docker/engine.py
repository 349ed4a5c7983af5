"""The line to a Docker engine: one pooled client, its blocking calls in worker threads, its errors in our words."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import anyio
import anyio.to_thread
import docker
import requests
from docker.context import ContextAPI
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env

from autoagent_mcp.errors import EngineError, SetupError
from autoagent_mcp.sandbox.base import PATIENCE_SEC

_T = TypeVar("_T")
Client: TypeAlias = Any
"""docker.APIClient, whose published types leave most of its methods unknown."""
_OLDEST_API = (1, 41)
"""Of engine 20.10."""
_CALLS = 32
_CONNECTIONS = 64
_SAID_CHARS = 1000
_CALL_SEC = 120
"""For an answer to begin; a build or a pull says something long before."""
_AWAY_HINT = "Start the engine (`docker info` tells whether it answers), or set DOCKER_HOST to one that runs."
_SSH_HINT = "Install what docker needs for it: `pip install 'autoagent-mcp[ssh]'`."


class Engine:
    """The engine that `docker` would use: DOCKER_HOST, else the current context, else the local socket."""

    def __init__(self) -> None:
        self._client: Client = None
        self._connecting = anyio.Lock()
        self._calls = anyio.CapacityLimiter(_CALLS)
        self._streams = anyio.CapacityLimiter(math.inf)

    @property
    def client(self) -> Client:
        """The docker package's own client, safe to use from several threads; there once `connect` was called."""
        return self._client

    async def connect(self, *, patience_sec: int = PATIENCE_SEC) -> None:
        """Connect, where it is not done yet.

        Args:
            patience_sec: For it to answer.

        Raises:
            SetupError: There is no engine, it does not answer, or it is older than 20.10.
        """
        async with self._connecting:
            if self._client is None:
                self._client = await anyio.to_thread.run_sync(_connect, patience_sec)

    async def call(self, function: Callable[..., _T], *args: object, **kwargs: object) -> _T:
        """Run a blocking call of the client in a worker thread; a cancellation waits for its end.

        Raises:
            EngineError: The engine refused (its `status` is HTTP's), or is away (`status` None).
        """
        return await self._in_thread(self._calls, function, args, kwargs)

    async def stream(self, function: Callable[..., _T], *args: object, **kwargs: object) -> _T:
        """Do the same for a call that may take as long as a command or a build; there may be any number of them.

        Raises:
            EngineError: See `call`.
        """
        return await self._in_thread(self._streams, function, args, kwargs)

    async def _in_thread(
        self,
        limiter: anyio.CapacityLimiter,
        function: Callable[..., _T],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> _T:
        return await anyio.to_thread.run_sync(lambda: translated(function, *args, **kwargs), limiter=limiter)

    async def aclose(self) -> None:
        """Let go of its connections."""
        if self._client is not None:
            await anyio.to_thread.run_sync(self._client.close)


def translated(function: Callable[..., _T], *args: object, **kwargs: object) -> _T:
    """Call a function of the client and turn its errors into ours; blocks.

    Raises:
        EngineError: See `Engine.call`.
    """
    try:
        return function(*args, **kwargs)
    except APIError as error:
        said = clause(error.explanation or error)
        raise EngineError(f"The Docker engine refused: {said}.", "See the engine's log.", error.status_code) from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise EngineError(f"The Docker engine does not answer: {clause(error)}.", _AWAY_HINT, None) from error


def clause(said: object) -> str:
    """Return what somebody said as the end of a sentence: shortened, and without a full stop of its own."""
    return str(said)[:_SAID_CHARS].strip().rstrip(".")


def hang_up(answer: Any) -> None:  # noqa: ANN401 - what lies behind a response is untyped
    """Cut a line that another thread reads, so that it stops reading."""
    with suppress(OSError, RuntimeError, ValueError, AttributeError):  # it has come to its end by itself
        reader = answer.raw._fp.fp  # noqa: SLF001 - urllib3 hands it out nowhere else
        channel = getattr(reader, "channel", None)
        if channel is not None:  # over ssh: paramiko's shutdown wakes nobody
            channel.close()
        else:
            answer.raw.shutdown()


def wait_for_ever(answer: Any) -> None:  # noqa: ANN401 - what lies behind a response is untyped
    """Take the limit off how long a line may say nothing, once its answer has begun."""
    reader = answer.raw._fp.fp  # noqa: SLF001 - urllib3 hands it out nowhere else
    with suppress(AttributeError):  # a pipe to an ssh client, which has no such limit
        line = getattr(reader, "channel", None) or reader.raw._sock  # noqa: SLF001 - socket.SocketIO's
        line.settimeout(None)


def _connect(patience_sec: int) -> Client:
    where = _where()
    try:
        client: Client = docker.APIClient(**where, version="auto", timeout=patience_sec, max_pool_size=_CONNECTIONS)
        client.timeout = _CALL_SEC
    except ImportError as error:
        raise SetupError(
            f"The engine at {where.get('base_url')} cannot be reached: {clause(error)}.", _SSH_HINT
        ) from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise SetupError(f"No Docker engine answers: {clause(error)}.", _AWAY_HINT) from error
    version = str(client.api_version)
    if tuple(int(part) for part in version.split(".")) < _OLDEST_API:
        client.close()
        raise SetupError(f"The Docker engine offers API {version}, which is too old.", "Upgrade it to 20.10 or newer.")
    return client


def _where() -> dict[str, Any]:
    if os.environ.get("DOCKER_HOST"):
        return {**kwargs_from_env()}
    context = ContextAPI.get_current_context()
    return {"base_url": context.Host, "tls": context.TLSConfig}
