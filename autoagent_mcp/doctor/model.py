"""The model: is there a key, and does it answer?"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, NamedTuple

import anyio
import httpx2

from autoagent_mcp._text import clean
from autoagent_mcp.config import ModelSettings
from autoagent_mcp.doctor.finding import Finding, failed, ok
from autoagent_mcp.errors import AutoagentError, GatewayError
from autoagent_mcp.gateway.api import Api
from autoagent_mcp.gateway.backoff import Backoff
from autoagent_mcp.gateway.chat import ChatApi
from autoagent_mcp.gateway.messages import MessagesApi
from autoagent_mcp.gateway.responses import ResponsesApi
from autoagent_mcp.gateway.upstream import ProviderDownError, Upstream, connect, read_some

_PATIENCE_SEC = 30.0
_ANSWER_LIMIT_BYTES = 64 * 1024
_SAID_CHARS = 300
_TOKENS = 16
"""The fewest that Responses allows; a small part of a cent with any model."""
_QUESTION = "Say OK."
_CHAT = {"messages": [{"role": "user", "content": _QUESTION}], "max_tokens": _TOKENS}
_REQUESTS: Mapping[str, tuple[Api, Mapping[str, Any]]] = {
    "openai": (ResponsesApi(), {"input": _QUESTION, "max_output_tokens": _TOKENS}),
    "anthropic": (MessagesApi(), _CHAT),
    "openai-compatible": (ChatApi(), _CHAT),
    "local": (ChatApi(), _CHAT),
}


class _Answer(NamedTuple):
    status: int
    date: str
    text: str


class Examined(NamedTuple):
    """What was found, and what time the provider had."""

    finding: Finding
    provider_time: float | None = None
    """In seconds since the epoch."""


async def examine(check: str, model: ModelSettings, *, is_offline: bool) -> Examined:
    """See that the model can be asked, by asking it one short question.

    Args:
        check: What it is called: it may be the judge's model.
        model: Which.
        is_offline: Whether to send nothing; the local model is looked for and not started.
    """
    name = f"{model.provider}/{model.name}"
    try:
        if is_offline:
            await _prepared(model)
            return Examined(ok(check, f"{name} is set up; it was not asked"))
        began = time.monotonic()
        with anyio.fail_after(_PATIENCE_SEC):
            async with _upstream(model) as upstream:
                answer = await _ask(upstream, model)
    except AutoagentError as error:
        return Examined(failed(check, error))
    except TimeoutError:
        return Examined(failed(check, _refused(f"{name} did not answer within {_PATIENCE_SEC:.0f} s.", model)))
    except ProviderDownError as error:
        return Examined(failed(check, _refused(f"{name} does not serve us: {error}.", model)))
    then = email.utils.mktime_tz(parsed) if (parsed := email.utils.parsedate_tz(answer.date)) else None
    if answer.status != HTTPStatus.OK:
        problem = f"{name} refused a request: HTTP {answer.status}: {answer.text}"
        return Examined(failed(check, _refused(problem, model)), then)
    return Examined(ok(check, f"{name} answered in {time.monotonic() - began:.1f} s"), then)


async def _prepared(model: ModelSettings) -> None:
    if model.provider == "local":
        from autoagent_mcp.gateway import local_model  # noqa: PLC0415 - loaded only where it is used

        await anyio.to_thread.run_sync(local_model.find_weights)
        return
    async with connect(model, None, Backoff()):
        """There is a key, and an address."""


@asynccontextmanager
async def _upstream(model: ModelSettings) -> AsyncGenerator[Upstream]:
    once = Backoff(tries=1)
    if model.provider != "local":
        async with connect(model, None, once) as upstream:
            yield upstream
        return
    from autoagent_mcp.gateway import local_model  # noqa: PLC0415 - loaded only where it is used

    async with local_model.serve() as url, connect(model, url, once) as upstream:
        yield upstream


async def _ask(upstream: Upstream, model: ModelSettings) -> _Answer:
    api, question = _REQUESTS[model.provider]

    async def read(response: httpx2.Response) -> _Answer:
        text = (await read_some(response, _ANSWER_LIMIT_BYTES)).decode(errors="replace")
        said = upstream.scrubbed(" ".join(clean(text).split()))[:_SAID_CHARS]
        return _Answer(response.status_code, response.headers.get("date", ""), said)

    return await upstream.ask(api, json.dumps({**question, "model": model.name}).encode(), read)


def _refused(problem: str, model: ModelSettings) -> GatewayError:
    key = model.api_key_env or "the key"
    return GatewayError(problem, f"See whether autoagent.toml names the right model and address, and look at {key}.")
