"""The provider: its address, its key, and patience with it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from ipaddress import ip_address
from typing import NamedTuple, TypeVar

import anyio
import httpx2

from autoagent_mcp.config import ModelSettings
from autoagent_mcp.errors import GatewayError
from autoagent_mcp.gateway.api import Api
from autoagent_mcp.gateway.backoff import Backoff, Gate, asked_wait_sec
from autoagent_mcp.gateway.chat import ChatApi
from autoagent_mcp.gateway.messages import MessagesApi
from autoagent_mcp.gateway.responses import ResponsesApi

_CONNECTIONS = 1024
_ERROR_LIMIT_BYTES = 64 * 1024
_TIMEOUT = httpx2.Timeout(connect=15, read=600, write=60, pool=None)
_BUSY = (408, 409, 425, 429)
_OURS = (401, 402, 403)
"""The key or the account is at fault, which no harness can help."""

T = TypeVar("T")


class Provider(NamedTuple):
    """What is known of a kind of provider."""

    base_url: str | None
    key_env: str | None
    apis: tuple[type[Api], ...]


PROVIDERS = {
    "openai": Provider("https://api.openai.com/v1", "OPENAI_API_KEY", (ChatApi, ResponsesApi)),
    "anthropic": Provider("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", (MessagesApi,)),
    "openai-compatible": Provider(None, None, (ChatApi, ResponsesApi)),
    "local": Provider(None, None, (ChatApi, ResponsesApi, MessagesApi)),
}


class ProviderDownError(Exception):
    """The provider does not serve this call, whatever the harness does."""


class _BusyError(Exception):
    def __init__(self, problem: str, asked_sec: float | None) -> None:
        super().__init__(problem)
        self.asked_sec = asked_sec


class GarbledError(Exception):
    """The provider answered 200 with something that is no answer, before any of it was passed on."""


class Upstream:
    """Sends calls to the provider."""

    def __init__(self, client: httpx2.AsyncClient, model: ModelSettings, key: str | None, backoff: Backoff) -> None:
        self._client = client
        self._backoff = backoff
        self._gate = Gate(backoff)
        self._is_first_party = model.provider in ("openai", "anthropic")
        self.key = key

    async def ask(self, api: Api, content: bytes, read: Callable[[httpx2.Response], Awaitable[T]]) -> T:
        """Send a request until it is answered, waiting with all other trials where the provider asks for it.

        Args:
            api: Which API.
            content: The request's body.
            read: Takes the answer, also one that refuses the request (4xx). May raise `GarbledError` or a transport
                error as long as it has passed nothing on; then the request is sent again.

        Raises:
            ProviderDownError: The provider kept failing, or refuses the server's key.
        """
        deadline: float | None = None
        problem = ""
        for attempt in range(self._backoff.tries):
            await self._gate.wait()
            sent_at, asked_sec = anyio.current_time(), None
            try:
                return await self._send(api, content, read)
            except _BusyError as error:
                problem, asked_sec = str(error), error.asked_sec
            except GarbledError as error:
                problem = self.scrubbed(str(error))
            except (httpx2.HTTPError, httpx2.StreamError) as error:
                problem = self.scrubbed(f"{type(error).__name__}: {error}")
                if attempt == 0:
                    continue  # the connection may just have been idle for too long: nobody need wait for that
            deadline = deadline or anyio.current_time() + self._backoff.total_sec
            if self._gate.shut(asked_sec, sent_at) > deadline:
                break
        raise ProviderDownError(problem)

    async def _send(self, api: Api, content: bytes, read: Callable[[httpx2.Response], Awaitable[T]]) -> T:
        async with self._client.stream("POST", api.upstream_path, content=content) as response:
            if self._is_busy(response):
                raise _BusyError(await self._problem(response), asked_wait_sec(response.headers))
            await self._raise_if_ours(api, response)
            answer = await read(response)
        self._gate.succeeded()
        return answer

    def scrubbed(self, text: str) -> str:
        """Take the key out of a text."""
        return text.replace(self.key, "[key]") if self.key else text

    def scrubbed_bytes(self, data: bytes) -> bytes:
        """Take the key out of an answer."""
        return data.replace(self.key.encode(), b"[key]") if self.key else data

    @staticmethod
    def _is_busy(response: httpx2.Response) -> bool:
        return response.status_code in _BUSY or response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR

    async def _raise_if_ours(self, api: Api, response: httpx2.Response) -> None:
        status = response.status_code
        is_elsewhere = status == HTTPStatus.NOT_FOUND and (self._is_first_party or api.name != "responses")
        if status in _OURS or is_elsewhere or response.is_redirect:
            raise ProviderDownError(await self._problem(response))

    async def _problem(self, response: httpx2.Response) -> str:
        text = (await read_some(response, _ERROR_LIMIT_BYTES)).decode(errors="replace")
        if "insufficient_quota" in text:
            raise ProviderDownError(f"HTTP {response.status_code}: insufficient_quota")
        return self.scrubbed(f"HTTP {response.status_code}: {' '.join(text.split())[:500]}")


async def read_some(response: httpx2.Response, limit_bytes: int) -> bytes:
    """Read an answer up to a limit."""
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) > limit_bytes:
            break
    return bytes(data[:limit_bytes])


@asynccontextmanager
async def connect(model: ModelSettings, base_url: str | None, backoff: Backoff) -> AsyncGenerator[Upstream]:
    """Open the way to the pinned model's provider; nothing is sent yet.

    Raises:
        GatewayError: There is no key, or no address.
    """
    provider = PROVIDERS[model.provider]
    address = base_url or model.base_url or provider.base_url
    if address is None:
        raise GatewayError(
            f"autoagent.toml names the provider '{model.provider}' without a base_url.",
            "Add model.base_url: the URL that ends before /chat/completions.",
        )
    key = _key(model, provider)
    client = httpx2.AsyncClient(
        base_url=address,
        headers=_headers(model, key),
        timeout=_TIMEOUT,
        limits=httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
        trust_env=not _is_loopback(address),
    )
    async with client:
        yield Upstream(client, model, key, backoff)


def _key(model: ModelSettings, provider: Provider) -> str | None:
    name = model.api_key_env or provider.key_env
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise GatewayError(
            f"The model provider '{model.provider}' needs a key, and {name} is not set.",
            f"Set {name} in the server's environment, or choose the provider 'local', which needs none.",
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise GatewayError(
            f"{name} holds something that cannot be a key: a space, a line break or a letter outside of ASCII.",
            f"Set {name} to the key alone.",
        )
    return key


def _headers(model: ModelSettings, key: str | None) -> dict[str, str]:
    headers = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "autoagent-mcp"}
    if model.provider == "anthropic":
        headers["anthropic-version"] = "2023-06-01"
    if key:
        name, value = ("x-api-key", key) if model.provider == "anthropic" else ("authorization", f"Bearer {key}")
        headers[name] = value
    return headers


def _is_loopback(address: str) -> bool:
    """Tell whether an address is on this machine, where no proxy of the environment may be used."""
    host = httpx2.URL(address).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
