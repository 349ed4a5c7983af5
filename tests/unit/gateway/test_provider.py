"""A provider that is busy, failing, silent or talking nonsense."""

from __future__ import annotations

import email.utils
import json
import time
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from anthropic import APIStatusError as AnthropicStatusError
from anthropic import AsyncAnthropic
from openai import APIError, APIStatusError, AsyncOpenAI, AsyncStream, BadRequestError
from openai.types.chat import ChatCompletionChunk
from support.gateways import ANTHROPIC, CHAT, IMPATIENT, KEY_ENV, MESSAGES, OPENAI, a_trial, trial_on
from support.stub_upstream import KEY, Drops, Fails, Fault, Holds, Says, StubUpstream

from autoagent_mcp.config import ModelSettings
from autoagent_mcp.errors import GatewayError
from autoagent_mcp.gateway.app import serve
from autoagent_mcp.gateway.backoff import Backoff, asked_wait_sec
from autoagent_mcp.models.trial import FailureCause


@pytest.mark.parametrize(
    "fault",
    [
        Fails(429, {"retry-after": "0"}),
        Fails(429, {"retry-after-ms": "20"}),
        Fails(500),
        Fails(529),
        Says(b"<html>Bad gateway</html>", "text/html"),
        Says(b""),
        Says(b'{"hello": "world"}'),
        Says(b'{"error": {"message": "overloaded"}}'),
    ],
    ids=str,
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_fault_that_passes_is_not_seen_by_the_harness(
    stub: StubUpstream,
    tmp_path: Path,
    fault: Fault,
    streamed: bool,  # noqa: FBT001
) -> None:
    stub.faults.extend([fault, fault])
    async with a_trial(stub, tmp_path) as trial:
        answer = await trial.chat(stream=streamed)
        assert answer.status_code == 200
        assert "Hello." in answer.text.replace('lo."', 'Hello."')
        assert len(stub.received) == 3
        assert len(trial.requests) == 1
        assert trial.session.usage.model_calls == 1
        assert trial.session.failure is None


async def test_a_connection_that_was_closed_is_replaced_at_once(stub: StubUpstream, tmp_path: Path) -> None:
    stub.faults.append(Drops(after=0))
    slow = Backoff(tries=3, total_sec=3600, first_sec=3600, longest_sec=3600, spread=0)
    async with a_trial(stub, tmp_path, backoff=slow) as trial:
        answer = await trial.chat(stream=True)
        assert answer.text.endswith("data: [DONE]\n\n")
        assert len(stub.received) == 2


NONSENSE: list[tuple[Fault, str]] = [
    (Fails(500, body="boom"), "HTTP 500: boom"),
    (Says(b"<html>Bad gateway</html>", "text/html"), "the provider's answer is not one of this API: b'<html>"),
    (Says(b""), "the provider's answer is not one of this API: b''"),
]


@pytest.mark.parametrize(("fault", "detail"), NONSENSE, ids=str)
async def test_a_provider_that_fails_for_ever_ends_the_call_and_is_not_the_harnesss_fault(
    stub: StubUpstream, tmp_path: Path, fault: Fault, detail: str
) -> None:
    stub.fault = fault
    async with (
        a_trial(stub, tmp_path) as trial,
        AsyncOpenAI(base_url=trial.openai_url, api_key=trial.session.token) as client,
    ):
        with pytest.raises(APIStatusError, match="the model provider is down") as caught:
            await client.chat.completions.create(**CHAT)
        assert caught.value.status_code == 503
        assert len(stub.received) == IMPATIENT.tries
        failure = trial.session.failure
        assert failure is not None
        assert failure.cause is FailureCause.MODEL_PROVIDER_DOWN
        assert detail in failure.detail
        assert detail in trial.responses[0].error
        assert not trial.responses[0].complete
        assert trial.session.usage.cost_usd == 0


async def test_after_the_provider_failed_a_trial_sends_no_more(stub: StubUpstream, tmp_path: Path) -> None:
    stub.faults.extend([Fails(500)] * IMPATIENT.tries)
    async with a_trial(stub, tmp_path) as trial:
        await trial.chat()
        again = await trial.chat()
        assert again.status_code == 503
        assert len(stub.received) == IMPATIENT.tries


@pytest.mark.usefixtures("stub")
async def test_a_provider_that_cannot_be_reached_is_down(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1/v1"
    async with serve(OPENAI, upstream_url=nowhere, backoff=IMPATIENT) as gateway, trial_on(gateway, tmp_path) as trial:
        answer = await trial.chat()
        assert answer.status_code == 503
        assert trial.session.failure is not None
        assert "ConnectError" in trial.session.failure.detail


@pytest.mark.parametrize("status", [401, 402, 403, 404])
async def test_a_key_or_model_that_the_provider_refuses_is_not_the_harnesss_fault(
    stub: StubUpstream, tmp_path: Path, status: int
) -> None:
    stub.fault = Fails(status, body=json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}))
    async with a_trial(stub, tmp_path) as trial:
        answer = await trial.chat()
        assert answer.status_code == 503
        assert len(stub.received) == 1
        assert trial.session.failure is not None
        assert trial.session.failure.cause is FailureCause.MODEL_PROVIDER_DOWN
        assert "Incorrect API key provided: [key]" in trial.session.failure.detail
        assert KEY not in answer.text


async def test_a_quota_that_is_used_up_is_not_waited_for(stub: StubUpstream, tmp_path: Path) -> None:
    stub.fault = Fails(429, body='{"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}}')
    async with a_trial(stub, tmp_path) as trial:
        answer = await trial.chat()
        assert (answer.status_code, len(stub.received)) == (503, 1)


async def test_a_request_that_the_provider_refuses_goes_back_to_the_harness(stub: StubUpstream, tmp_path: Path) -> None:
    body = {"error": {"message": f"context too long for {KEY}", "type": "invalid_request_error", "code": "too_long"}}
    stub.fault = Fails(400, body=json.dumps(body))
    async with (
        a_trial(stub, tmp_path) as trial,
        AsyncOpenAI(base_url=trial.openai_url, api_key=trial.session.token) as client,
    ):
        for streamed in (False, True):
            arguments: dict[str, Any] = {**CHAT, "stream": streamed}
            with pytest.raises(BadRequestError, match=r"context too long for \[key\]"):
                await client.chat.completions.create(**arguments)
        assert len(stub.received) == 2
        assert trial.session.failure is None
        assert trial.responses[0].status == 400
        assert trial.session.usage.model_calls == 2
        assert trial.session.usage.cost_usd == 0


async def test_a_stream_that_breaks_off_raises_in_the_sdk_and_is_recorded_as_far_as_it_came(
    stub: StubUpstream, tmp_path: Path
) -> None:
    stub.fault = Drops(after=2)
    async with (
        a_trial(stub, tmp_path) as trial,
        AsyncOpenAI(base_url=trial.openai_url, api_key=trial.session.token) as client,
    ):
        arguments: dict[str, Any] = {**CHAT, "stream": True}
        stream = cast("AsyncStream[ChatCompletionChunk]", await client.chat.completions.create(**arguments))
        pieces: list[str | None] = []

        async def read() -> None:
            async for chunk in stream:
                pieces.append(chunk.choices[0].delta.content)  # noqa: PERF401 - what came before the error counts

        with pytest.raises(APIError, match="the provider's stream broke off"):
            await read()
        record = trial.responses[0]
        assert pieces == ["", "Hel"]
        assert record.body is not None
        assert record.body["choices"][0]["message"]["content"] == "Hel"
        assert not record.complete
        assert trial.session.failure is not None
        assert trial.session.failure.cause is FailureCause.MODEL_PROVIDER_DOWN


async def test_a_broken_stream_of_messages_raises_in_anthropics_sdk(stub: StubUpstream, tmp_path: Path) -> None:
    stub.fault = Drops(after=4)
    async with (
        a_trial(stub, tmp_path, ANTHROPIC) as trial,
        AsyncAnthropic(base_url=trial.anthropic_url, api_key=trial.session.token) as client,
    ):
        with pytest.raises(AnthropicStatusError, match="the provider's stream broke off"):
            async with client.messages.stream(**MESSAGES) as stream:
                await stream.get_final_message()
        record = trial.responses[0]
        assert record.body is not None
        assert record.body["content"] == [{"type": "text", "text": "Hel"}]
        assert "tokens are guessed" in record.error
        assert record.usage.prompt_tokens == 100


async def test_while_the_provider_asks_for_patience_no_trial_sends(stub: StubUpstream, tmp_path: Path) -> None:
    stub.faults.append(Fails(429, {"retry-after": "3600"}))
    short = Backoff(tries=3, total_sec=0.5, spread=0)
    async with (
        serve(OPENAI, upstream_url=stub.url, backoff=short) as gateway,
        trial_on(gateway, tmp_path / "a") as first,
        trial_on(gateway, tmp_path / "b") as second,
    ):
        assert (await first.chat()).status_code == 503
        assert (await second.chat()).status_code == 200
        assert second.session.failure is None
    assert stub.received[1].at >= stub.received[0].at + 0.5


async def test_a_wait_longer_than_the_patience_ends_the_call_at_once(stub: StubUpstream, tmp_path: Path) -> None:
    stub.fault = Fails(429, {"retry-after": "3600"})
    async with a_trial(stub, tmp_path) as trial:
        with anyio.fail_after(5):
            answer = await trial.chat()
        assert (answer.status_code, len(stub.received)) == (503, 1)


async def test_failures_of_calls_side_by_side_are_one_failure(stub: StubUpstream, tmp_path: Path) -> None:
    stub.faults.extend([Fails(503)] * 16)
    slow_at_sixteen = Backoff(tries=3, total_sec=60, first_sec=0.01, longest_sec=3600, spread=0)
    async with a_trial(stub, tmp_path, backoff=slow_at_sixteen) as trial, anyio.create_task_group() as group:
        for _ in range(16):
            group.start_soon(trial.chat)
    assert trial.session.failure is None
    assert len(stub.received) == 32


def test_retry_after_is_read_in_all_its_forms() -> None:
    assert asked_wait_sec({"retry-after": "2"}) == 2
    assert asked_wait_sec({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    date = asked_wait_sec({"retry-after": email.utils.formatdate(time.time() + 100, usegmt=True)})
    assert date is not None
    assert 90 < date <= 100
    past = asked_wait_sec({"retry-after": email.utils.formatdate(time.time() - 100, usegmt=True)})
    assert past == 0
    for nonsense in ("soon", "", "-", "nan", "inf"):
        assert asked_wait_sec({"retry-after": nonsense}) is None
    assert asked_wait_sec({}) is None
    assert asked_wait_sec({"retry-after": "-5"}) == 0


async def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_ENV, raising=False)
    with pytest.raises(GatewayError, match=f"needs a key, and {KEY_ENV} is not set"):
        async with serve(OPENAI):
            pass
    monkeypatch.setenv(KEY_ENV, "sk-one\nsk-two")
    with pytest.raises(GatewayError, match="cannot be a key") as caught:
        async with serve(OPENAI):
            pass
    assert "sk-" not in str(caught.value)


async def test_the_openai_key_is_not_sent_to_another_host(
    stub: StubUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    model = ModelSettings(provider="openai-compatible", name=OPENAI.name, base_url=stub.url)
    async with serve(model) as gateway, trial_on(gateway, tmp_path) as trial:
        await trial.chat()
    assert "authorization" not in stub.received[0].headers


async def test_the_harness_that_goes_away_cancels_the_call(stub: StubUpstream, tmp_path: Path) -> None:
    stub.fault = Holds(after=2)
    async with a_trial(stub, tmp_path) as trial:
        async with trial.http.stream("POST", "/openai/v1/chat/completions", json={**CHAT, "stream": True}) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
        with anyio.fail_after(5):
            await stub.cut_off.wait()
        await trial.session.close()
        record = trial.responses[0]
        assert not record.complete
        assert record.body is not None
        assert record.body["choices"][0]["message"]["content"] == "Hel"
        assert trial.session.failure is None
        assert trial.session.usage.prompt_tokens > 0
