"""A gateway before a stub provider, with a trial's or a verification's session open."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
from pydantic import TypeAdapter
from support.fake_sandbox import FakeSandbox
from support.stub_upstream import StubUpstream

from autoagent_mcp.config import JudgeSettings, ModelSettings, Spending, TrialSettings
from autoagent_mcp.gateway.app import Gateway, serve
from autoagent_mcp.gateway.backoff import Backoff
from autoagent_mcp.gateway.session import Session
from autoagent_mcp.models.records import Exec, ModelRequest, ModelResponse
from autoagent_mcp.models.trial import TrialFiles

KEY_ENV = "STUB_KEY"
OPENAI = ModelSettings(provider="openai", name="gpt-5-mini", api_key_env=KEY_ENV)
ANTHROPIC = ModelSettings(provider="anthropic", name="claude-sonnet-4-6", api_key_env=KEY_ENV)
LOCAL = ModelSettings(provider="local", name="small")
JUDGE_KEY_ENV = "STUB_JUDGE_KEY"
JUDGE_KEY = "sk-judge-fedcba9876543210"
IMPATIENT = Backoff(tries=3, total_sec=20, first_sec=0.01, longest_sec=0.02, spread=0)

_LINE: TypeAdapter[ModelRequest | ModelResponse] = TypeAdapter(ModelRequest | ModelResponse)


@dataclass
class Trial:
    """A trial as seen from both sides."""

    gateway: Gateway
    session: Session
    files: TrialFiles
    sandbox: FakeSandbox
    http: httpx2.AsyncClient
    """Speaks with the trial's token."""
    record: Path
    """Where its model calls are written."""

    @property
    def openai_url(self) -> str:
        """What OPENAI_BASE_URL is set to."""
        return f"http://127.0.0.1:{self.gateway.port}/openai/v1"

    @property
    def anthropic_url(self) -> str:
        """What ANTHROPIC_BASE_URL is set to."""
        return f"http://127.0.0.1:{self.gateway.port}/anthropic"

    async def chat(self, **fields: Any) -> httpx2.Response:  # noqa: ANN401 - a request is any JSON
        """Send a Chat Completions request as it stands."""
        return await self.http.post("/openai/v1/chat/completions", json={**CHAT, **fields})

    async def respond(self, **fields: Any) -> httpx2.Response:  # noqa: ANN401 - a request is any JSON
        """Send a Responses request as it stands."""
        return await self.http.post("/openai/v1/responses", json={**RESPONSES, **fields})

    async def message(self, **fields: Any) -> httpx2.Response:  # noqa: ANN401 - a request is any JSON
        """Send a Messages request as it stands."""
        return await self.http.post("/anthropic/v1/messages", json={**MESSAGES, **fields})

    @property
    def requests(self) -> list[ModelRequest]:
        """The recorded requests."""
        return [line for line in self._lines() if isinstance(line, ModelRequest)]

    @property
    def responses(self) -> list[ModelResponse]:
        """The recorded responses."""
        return [line for line in self._lines() if isinstance(line, ModelResponse)]

    @property
    def execs(self) -> list[Exec]:
        """The recorded commands."""
        return [Exec.model_validate_json(line) for line in _read(self.files.execs)]

    def _lines(self) -> list[ModelRequest | ModelResponse]:
        return [_LINE.validate_json(line) for line in _read(self.record)]


CHAT: dict[str, Any] = {"model": OPENAI.name, "messages": [{"role": "user", "content": "Hi"}]}
RESPONSES: dict[str, Any] = {"model": OPENAI.name, "input": "Hi"}
MESSAGES: dict[str, Any] = {
    "model": ANTHROPIC.name,
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "Hi"}],
}


def a_judge(stub: StubUpstream) -> JudgeSettings:
    """Return a judge whose provider is the stub, with a key of its own; set it in the environment."""
    return JudgeSettings(
        provider="openai-compatible", name="fair", base_url=stub.url, api_key_env=JUDGE_KEY_ENV, effort="high"
    )


def _read(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@asynccontextmanager
async def with_token(token: str, port: int) -> AsyncGenerator[httpx2.AsyncClient]:
    """Speak HTTP to a gateway."""
    headers = {"authorization": f"Bearer {token}"}
    client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30, trust_env=False)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def trial_on(gateway: Gateway, folder: Path, limits: TrialSettings | None = None) -> AsyncGenerator[Trial]:
    """Open a trial's session."""
    await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
    files, sandbox = TrialFiles(folder=folder), FakeSandbox()
    async with (
        gateway.session(files, sandbox, limits or TrialSettings()) as session,
        with_token(session.token, gateway.port) as http,
    ):
        yield Trial(gateway, session, files, sandbox, http, files.model_calls)


@asynccontextmanager
async def judge_on(gateway: Gateway, folder: Path, limits: Spending | None = None) -> AsyncGenerator[Trial]:
    """Open the judge's session of a trial."""
    await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
    files = TrialFiles(folder=folder)
    async with (
        gateway.judge_session(files, limits or Spending()) as session,
        with_token(session.token, gateway.port) as http,
    ):
        yield Trial(gateway, session, files, FakeSandbox(), http, files.judge_calls)


@asynccontextmanager
async def a_trial(
    stub: StubUpstream,
    folder: Path,
    model: ModelSettings = OPENAI,
    limits: TrialSettings | None = None,
    backoff: Backoff = IMPATIENT,
) -> AsyncGenerator[Trial]:
    """Run a gateway with one trial."""
    async with (
        serve(model, upstream_url=stub.url, backoff=backoff) as gateway,
        trial_on(gateway, folder / "trial", limits) as trial,
    ):
        yield trial
