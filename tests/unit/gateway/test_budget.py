"""A trial cannot spend more than it may, however many calls it makes at once."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anthropic import AsyncAnthropic
from anthropic import BadRequestError as AnthropicBadRequestError
from openai import AsyncOpenAI, BadRequestError
from support import wire
from support.gateways import ANTHROPIC, CHAT, LOCAL, MESSAGES, OPENAI, Trial, a_trial
from support.stub_upstream import Holds, Says, StubUpstream
from support.wire import Answer

from autoagent_mcp.config import TrialSettings
from autoagent_mcp.gateway.budget import estimated_tokens
from autoagent_mcp.models.trial import FailureCause


async def at_once(trial: Trial, number: int, **fields: Any) -> list[int]:  # noqa: ANN401 - a request is any JSON
    """Make calls side by side and return their statuses."""
    answers: list[httpx2.Response] = []

    async def call() -> None:
        answers.append(await trial.chat(**fields))

    async with anyio.create_task_group() as group:
        for _ in range(number):
            group.start_soon(call)
    return sorted(answer.status_code for answer in answers)


async def test_calls_past_the_turns_are_refused_and_the_sdks_do_not_send_again(
    stub: StubUpstream, tmp_path: Path
) -> None:
    async with (
        a_trial(stub, tmp_path, limits=TrialSettings(max_turns=1)) as trial,
        AsyncOpenAI(base_url=trial.openai_url, api_key=trial.session.token) as client,
    ):
        await client.chat.completions.create(**CHAT)
        assert trial.session.failure is None
        with pytest.raises(BadRequestError, match="this trial has made all of its 1 model calls"):
            await client.chat.completions.create(**CHAT)
        assert len(stub.received) == 1
        assert trial.session.failure is not None
        assert trial.session.failure.cause is FailureCause.OUT_OF_TURNS
    async with (
        a_trial(stub, tmp_path / "2", ANTHROPIC, TrialSettings(max_turns=1)) as trial,
        AsyncAnthropic(base_url=trial.anthropic_url, api_key=trial.session.token) as other,
    ):
        await other.messages.create(**MESSAGES)
        with pytest.raises(AnthropicBadRequestError, match="this trial has made all of its 1 model calls"):
            await other.messages.create(**MESSAGES)
        assert len(stub.received) == 2


async def test_32_calls_at_once_make_no_more_than_the_turns(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path, limits=TrialSettings(max_turns=5)) as trial:
        assert await at_once(trial, 32) == [200] * 5 + [400] * 27
        assert len(stub.received) == 5
        assert trial.session.usage.model_calls == 5


async def test_32_calls_at_once_overshoot_the_tokens_by_no_more_than_one_call(
    stub: StubUpstream, tmp_path: Path
) -> None:
    stub.answer = lambda _body: Answer(text="x", prompt_tokens=100, completion_tokens=900)
    async with a_trial(stub, tmp_path, limits=TrialSettings(max_tokens=5_000)) as trial:
        statuses = await at_once(trial, 32, max_completion_tokens=900)
        usage = trial.session.usage
        assert statuses == [200] * 5 + [400] * 27
        assert usage.prompt_tokens + usage.completion_tokens == 5_000
        assert trial.session.failure is not None
        assert trial.session.failure.cause is FailureCause.OUT_OF_BUDGET
        assert trial.session.failure.detail == "this trial has used 5000 of its 5000 tokens"


async def test_32_calls_at_once_overshoot_the_cost_by_no_more_than_one_call(stub: StubUpstream, tmp_path: Path) -> None:
    stub.answer = lambda _body: Answer(text="x", prompt_tokens=0, cached_tokens=0, completion_tokens=5_000)
    a_cent_each = 5_000 * 2.0 / 1e6
    async with a_trial(stub, tmp_path, limits=TrialSettings(max_cost_usd=3 * a_cent_each - 1e-6)) as trial:
        statuses = await at_once(trial, 32, max_completion_tokens=5_000)
        assert statuses == [200] * 3 + [400] * 29
        assert trial.session.usage.cost_usd == pytest.approx(3 * a_cent_each)
        assert trial.session.failure is not None
        assert "US dollars" in trial.session.failure.detail


async def test_an_answers_length_is_bounded_by_what_is_left(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path, limits=TrialSettings(max_tokens=2_000)) as trial:
        await trial.chat(max_tokens=100)
        await trial.chat(max_tokens=100_000)
        await trial.chat()
        await trial.respond(max_output_tokens=100_000)
    async with a_trial(stub, tmp_path / "2", ANTHROPIC, TrialSettings(max_tokens=2_000)) as trial:
        await trial.message(max_tokens=64_000)
    assert stub.bodies[0]["max_tokens"] == 100
    assert 1_700 < stub.bodies[1]["max_tokens"] < 1_880
    assert 1_600 < stub.bodies[2]["max_completion_tokens"] < 1_760
    assert 1_500 < stub.bodies[3]["max_output_tokens"] < 1_640
    assert 1_900 < stub.bodies[4]["max_tokens"] < 2_000


async def test_thinking_that_does_not_fit_any_more_is_out_of_budget(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path, ANTHROPIC, TrialSettings(max_tokens=3_000)) as trial:
        thinking = {"type": "enabled", "budget_tokens": 2_900}
        fits = await trial.message(max_tokens=64_000, thinking=thinking)
        late = await trial.message(max_tokens=64_000, thinking=thinking)
        assert (fits.status_code, late.status_code) == (200, 400)
        assert trial.session.failure is not None
        assert trial.session.failure.cause is FailureCause.OUT_OF_BUDGET
        assert trial.session.failure.detail.startswith("this trial has 2880 tokens left")
    assert 2_900 < stub.bodies[0]["max_tokens"] < 3_000


async def test_a_call_that_sets_no_length_is_left_alone_while_there_is_plenty(
    stub: StubUpstream, tmp_path: Path
) -> None:
    async with a_trial(stub, tmp_path) as trial:
        await trial.chat()
    assert not {"max_tokens", "max_completion_tokens"} & set(stub.bodies[0])


async def test_a_stream_that_the_harness_cuts_off_is_paid_for(stub: StubUpstream, tmp_path: Path) -> None:
    stub.fault = Holds(after=3)
    stub.answer = lambda _body: Answer(text="x" * 8_000)
    async with a_trial(stub, tmp_path) as trial:
        async with trial.http.stream("POST", "/openai/v1/chat/completions", json={**CHAT, "stream": True}) as answer:
            pieces = answer.aiter_bytes()
            received = b""
            while len(received) < 8_000:
                received += await anext(pieces)
        with anyio.fail_after(5):
            await stub.cut_off.wait()
        await trial.session.close()
        assert trial.session.usage.completion_tokens >= 2_000
        assert trial.session.usage.cost_usd is not None
        assert trial.session.usage.cost_usd > 0


async def test_an_unknown_price_is_unknown_and_the_local_model_is_free(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path, OPENAI.model_copy(update={"name": "nobody-knows"})) as trial:
        await trial.chat(model="nobody-knows")
        assert trial.session.usage.cost_usd is None
        assert trial.responses[0].usage.cost_usd is None
        assert "The price of the pinned model is not known" in trial.session.notices[0]
    async with a_trial(stub, tmp_path / "2", LOCAL) as trial:
        await trial.chat(model=LOCAL.name)
        assert trial.session.usage.cost_usd == 0.0
        assert trial.session.usage.prompt_tokens == 100


async def test_a_provider_that_does_not_tell_usage_is_not_free(stub: StubUpstream, tmp_path: Path) -> None:
    whole = wire.chat(Answer(text="word " * 400), OPENAI.name)
    del whole["usage"]
    stub.fault = Says(json.dumps(whole).encode())
    async with a_trial(stub, tmp_path) as trial:
        await trial.chat()
        assert 500 < trial.session.usage.completion_tokens < 700
        assert trial.session.usage.prompt_tokens > 0
        assert trial.responses[0].error == ""
        assert "their tokens are guessed" in trial.session.notices[0]


async def test_the_pinned_service_tier_has_its_own_price(stub: StubUpstream, tmp_path: Path) -> None:
    costs: list[float] = []
    for tier in ("flex", None, "priority"):
        model = OPENAI.model_copy(update={"service_tier": tier})
        async with a_trial(stub, tmp_path / str(tier), model) as trial:
            await trial.chat()
            costs.append(trial.session.usage.cost_usd or 0)
    assert costs[0] < costs[1] < costs[2]


def test_an_image_is_not_counted_by_its_bytes() -> None:
    text = b'{"text": "' + b"word " * 400 + b'"}'
    image = b'{"url": "data:image/png;base64,' + base64.b64encode(bytes(300_000)) + b'"}'
    assert 500 <= estimated_tokens(text) <= 505
    assert estimated_tokens(text + image) < 520
