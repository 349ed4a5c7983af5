"""Tokens, routes, and a server that stops when it is told to."""

from __future__ import annotations

import signal
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream
from openai import AsyncOpenAI, AuthenticationError
from support.gateways import CHAT, OPENAI, a_trial, trial_on, with_token
from support.stub_upstream import Holds, StubUpstream

from autoagent_mcp.errors import HarnessError
from autoagent_mcp.gateway.app import serve

ROUTES = (
    ("POST", "/openai/v1/chat/completions"),
    ("POST", "/openai/v1/responses"),
    ("POST", "/anthropic/v1/messages"),
    ("POST", "/environment/exec"),
    ("PUT", "/environment/upload?path=/x"),
    ("GET", "/environment/download?path=/x"),
)


async def test_without_a_running_trials_token_nothing_answers(stub: StubUpstream, tmp_path: Path) -> None:
    async with serve(OPENAI, upstream_url=stub.url) as gateway, trial_on(gateway, tmp_path / "running") as running:
        async with trial_on(gateway, tmp_path / "over") as trial:
            dead = trial.session.token
        async with with_token("nobody", gateway.port) as http:
            for method, path in ROUTES:
                for headers in ({}, {"authorization": ""}, {"x-api-key": ""}, {"authorization": f"Bearer {dead}"}):
                    answer = await http.request(method, path, headers=headers)
                    assert answer.status_code == 401
        async with AsyncOpenAI(base_url=running.openai_url, api_key=dead) as client:
            with pytest.raises(AuthenticationError, match="not that of a running trial"):
                await client.chat.completions.create(**CHAT)
    assert stub.received == []


async def test_a_session_that_is_closed_lets_nothing_in(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        await trial.session.close()
        answer = await trial.chat()
        assert answer.status_code == 401
        assert "this trial has ended" in answer.json()["error"]["message"]
    assert stub.received == []


async def test_a_token_leads_to_its_own_trial_alone(stub: StubUpstream, tmp_path: Path) -> None:
    async with (
        serve(OPENAI, upstream_url=stub.url) as gateway,
        trial_on(gateway, tmp_path / "a") as first,
        trial_on(gateway, tmp_path / "b") as second,
    ):
        await first.respond()
        await first.http.post("/environment/exec", json={"command": "echo hi"})
        foreign = await second.respond(previous_response_id="resp_1")
        assert foreign.status_code == 400
        assert (first.session.usage.model_calls, second.session.usage.model_calls) == (1, 0)
        assert (len(first.sandbox.commands), len(second.sandbox.commands)) == (1, 0)
        assert second.requests == []
        assert first.session.token != second.session.token


async def test_an_unknown_route_is_answered_with_the_known_ones(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        for method, path in (
            ("GET", "/openai/v1/models"),
            ("POST", "/openai/v1/files"),
            ("DELETE", "/environment/exec"),
        ):
            answer = await trial.http.request(method, path)
            assert answer.status_code == 404
            message = answer.json()["error"]["message"]
            assert f"{method} {path} is not allowed by autoagent-mcp" in message
            assert "POST /openai/v1/responses" in message


async def test_the_gateway_stops_with_open_streams_and_idle_connections(stub: StubUpstream, tmp_path: Path) -> None:
    stub.fault = Holds(after=1)
    idle: SocketStream | None = None
    with anyio.fail_after(20):
        async with (
            anyio.create_task_group() as group,
            serve(OPENAI, upstream_url=stub.url) as gateway,
            trial_on(gateway, tmp_path) as trial,
        ):
            group.start_soon(stream_until_cut_off, gateway.port, trial.session.token)
            idle = await anyio.connect_tcp("127.0.0.1", gateway.port)
            await idle.send(b"POST /openai/v1/responses HTTP/1.1\r\ncontent-le")
            await stub.arrived.wait()
        assert idle is not None
        with pytest.raises(anyio.EndOfStream):
            await idle.receive()
        await idle.aclose()


async def stream_until_cut_off(port: int, token: str) -> None:
    async with with_token(token, port) as http:
        answer = await http.post("/openai/v1/chat/completions", json={**CHAT, "stream": True})
        assert "this trial has ended" in answer.text


async def test_headers_without_end_are_cut_off(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial, await anyio.connect_tcp("127.0.0.1", trial.gateway.port) as raw:
        await raw.send(b"GET / HTTP/1.1\r\n" + b"a: " + b"b" * 200_000)
        with anyio.fail_after(5):
            assert (await raw.receive()).startswith(b"HTTP/1.1 400")


async def test_an_error_raised_inside_comes_out_as_it_is_and_signals_are_left_alone(
    stub: StubUpstream, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    inside = before[:0]

    async def work() -> None:
        nonlocal inside
        async with a_trial(stub, tmp_path):
            inside = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
            raise HarnessError("agent.py is broken.", "Mend it.")

    with pytest.raises(HarnessError, match=r"agent\.py is broken"):
        await work()
    assert inside == before


async def test_a_cancelled_gateway_ends_cleanly(stub: StubUpstream, tmp_path: Path) -> None:
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            serving = anyio.Event()

            async def work() -> None:
                async with a_trial(stub, tmp_path):
                    serving.set()
                    await anyio.sleep_forever()

            group.start_soon(work)
            await serving.wait()
            group.cancel_scope.cancel()
