"""`autoagent-mcp gateway`, as a process before a stub provider and before the real local model."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from openai import AsyncOpenAI, BadRequestError, InternalServerError
from support import stub_upstream
from support.gateways import with_token
from support.stub_upstream import KEY, Fails, StubUpstream
from support.workspaces import NO_MODEL, harness, make_workspace

from autoagent_mcp.gateway import local_model
from autoagent_mcp.workspace import Workspace

IDLES = "async def run_task(environment, instruction):\n    pass"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Serve on asyncio: uvicorn knows no other."""
    return "asyncio"


@pytest.fixture
async def stub() -> AsyncGenerator[StubUpstream]:
    async with stub_upstream.running() as running:
        yield running


@pytest.fixture
def workspace(tmp_path: Path, stub: StubUpstream) -> Workspace:
    settings = NO_MODEL.format(url=stub.url) + 'api_key_env = "STUB_KEY"\n[trial]\nmax_turns = 1\n'
    return make_workspace(tmp_path / "work", agent=harness(IDLES), settings=settings)


@dataclass
class Served:
    """The command while it runs."""

    process: Process
    env: dict[str, str]
    """What its line exports."""

    async def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal and return the exit status and what was printed: the rest of stdout, and stderr."""
        self.process.send_signal(number)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        with anyio.fail_after(20):
            out = b"".join([piece async for piece in self.process.stdout])
            said = b"".join([piece async for piece in self.process.stderr])
            return await self.process.wait(), out.decode(), said.decode()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.env["OPENAI_BASE_URL"].split(":")[2].split("/")[0])

    @property
    def client(self) -> AsyncOpenAI:
        """Speaks as a harness would that finds these variables."""
        return AsyncOpenAI(base_url=self.env["OPENAI_BASE_URL"], api_key=self.env["OPENAI_API_KEY"], max_retries=0)


@asynccontextmanager
async def served(workspace: Workspace, *words: str) -> AsyncGenerator[Served]:
    command = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(workspace.folder), "gateway", *words]
    env = {**os.environ, "STUB_KEY": KEY}
    async with await anyio.open_process(command, env=env, stdin=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            line = b""
            with anyio.fail_after(60):
                while not line.endswith(b"\n"):
                    line += await process.stdout.receive()
            word, *exported = shlex.split(line.decode())
            assert word == "export"
            yield Served(process, dict(item.split("=", 1) for item in exported))
        finally:
            if process.returncode is None:
                process.kill()


async def ask(client: AsyncOpenAI, model: str = "stub") -> str:
    answer = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=20
    )
    return answer.choices[0].message.content or ""


def records(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "model_calls.jsonl").read_text(encoding="utf-8").splitlines()]


async def test_it_serves_the_pinned_model_records_each_call_and_tells_what_was_used(
    workspace: Workspace, stub: StubUpstream, tmp_path: Path
) -> None:
    async with (
        served(workspace, "--out", str(tmp_path / "calls"), "--trials", "3") as gateway,
        gateway.client as client,
    ):
        await ask(client)
        await ask(client)
        with pytest.raises(BadRequestError, match="the pinned model is 'stub'"):
            await ask(client, "gpt-5")
        status, out, said = await gateway.end()
    assert (status, out) == (0, "")
    assert "at most 3 calls" in said
    assert "2 calls, 240 tokens, cost unknown." in said
    assert [line["event"] for line in records(tmp_path / "calls")] == ["request", "response"] * 2
    assert [item.headers["authorization"] for item in stub.received] == [f"Bearer {KEY}"] * 2
    assert KEY not in said + json.dumps(records(tmp_path / "calls")) + json.dumps(gateway.env)
    assert sorted(gateway.env) == ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL"]


async def test_the_budget_is_that_of_the_workspaces_suite_and_the_environment_is_closed(workspace: Workspace) -> None:
    async with served(workspace) as gateway, gateway.client as client:
        await ask(client)
        with pytest.raises(BadRequestError, match="this gateway has made all of its 1 model calls"):
            await ask(client)
        async with with_token(gateway.env["OPENAI_API_KEY"], gateway.port) as http:
            closed = await http.post("/environment/exec", json={"command": "id"})
        assert (closed.status_code, closed.json()["error"][:27]) == (403, "this gateway has no sandbox")
        status, _, _ = await gateway.end(signal.SIGINT)
    assert status == 0
    (folder,) = workspace.gateway.iterdir()
    assert len(records(folder)) == 2


async def test_a_provider_that_was_down_for_one_trial_is_asked_again_for_the_next(
    workspace: Workspace, stub: StubUpstream
) -> None:
    async with served(workspace, "--trials", "9") as gateway, gateway.client as client:
        stub.faults.append(Fails(402))
        with pytest.raises(InternalServerError, match="the model provider is down"):
            await ask(client)
        assert await ask(client) == "Hello."
        assert (await gateway.end())[0] == 0


async def test_the_real_local_model_answers_and_ends_with_the_command(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, agent=harness(IDLES, local_model.NAME))
    async with served(workspace) as gateway, gateway.client as client:
        assert await ask(client, local_model.NAME)
        status, _, said = await gateway.end()
    assert status == 0
    assert "1 calls" in said
    assert "$0.0000." in said


async def test_a_port_or_folder_that_is_taken_is_named(workspace: Workspace, tmp_path: Path) -> None:
    async with served(workspace, "--out", str(tmp_path / "calls")) as gateway, gateway.client as client:
        await ask(client)
        taken = (("--port", str(gateway.port)), ("--out", str(tmp_path / "calls")))
        for words, problem in zip(taken, (f"127.0.0.1:{gateway.port}", "an earlier gateway"), strict=True):
            command = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(workspace.folder), "gateway", *words]
            done = await anyio.run_process(command, env={**os.environ, "STUB_KEY": KEY}, check=False)
            assert done.returncode == 1
            assert done.stdout == b""
            assert problem in done.stderr.decode()
            assert "Choose another" in done.stderr.decode()
