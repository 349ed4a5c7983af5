"""A verifier's own session: another model, another key, another record, another budget, nothing shared."""

from __future__ import annotations

from pathlib import Path

import anyio
import httpx2
import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError
from support.gateways import (
    CHAT,
    IMPATIENT,
    JUDGE_KEY,
    JUDGE_KEY_ENV,
    MESSAGES,
    OPENAI,
    a_judge,
    judge_on,
    trial_on,
    with_token,
)
from support.stub_upstream import KEY, Fails, Holds, StubUpstream
from support.wire import Answer

from autoagent_mcp.config import Spending
from autoagent_mcp.errors import GatewayError
from autoagent_mcp.gateway.app import serve
from autoagent_mcp.models.trial import RULES, FailureCause

ENVIRONMENT = (
    ("POST", "/environment/exec"),
    ("PUT", "/environment/upload?path=/x"),
    ("GET", "/environment/download?path=/x"),
)


@pytest.fixture(autouse=True)
def _judges_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JUDGE_KEY_ENV, JUDGE_KEY)


async def test_each_session_reaches_its_own_model_with_its_own_key_and_pins(stub: StubUpstream, tmp_path: Path) -> None:
    async with (
        serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url) as gateway,
        trial_on(gateway, tmp_path) as trial,
        judge_on(gateway, tmp_path) as judge,
    ):
        assert (await trial.chat()).status_code == 200
        assert (await judge.chat(model="fair")).status_code == 200
        assert (await trial.chat(model="fair")).status_code == 400
    assert [body["model"] for body in stub.bodies] == [OPENAI.name, "fair"]
    assert [body.get("reasoning_effort") for body in stub.bodies] == [None, "high"]
    keys = [item.headers["authorization"] for item in stub.received]
    assert keys == [f"Bearer {KEY}", f"Bearer {JUDGE_KEY}"]


async def test_calls_are_recorded_and_metered_apart(stub: StubUpstream, tmp_path: Path) -> None:
    stub.answer = lambda body: Answer(text=f"{body['model']} {KEY} {JUDGE_KEY}")
    async with (
        serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url) as gateway,
        trial_on(gateway, tmp_path) as trial,
        judge_on(gateway, tmp_path) as judge,
    ):
        await trial.chat()
        await judge.chat()
        await judge.chat(messages=[{"role": "user", "content": "The rubric"}])
        assert (trial.session.usage.model_calls, judge.session.usage.model_calls) == (1, 2)
        assert [line.call for line in trial.requests] == [1]
        assert [line.call for line in judge.requests] == [1, 2]
    assert trial.record == tmp_path / "model_calls.jsonl"
    assert judge.record == tmp_path / "judge_calls.jsonl"
    assert "The rubric" not in trial.record.read_text(encoding="utf-8")
    assert KEY not in trial.record.read_text(encoding="utf-8")
    assert JUDGE_KEY not in judge.record.read_text(encoding="utf-8")


async def test_neither_can_go_on_with_what_the_other_made(stub: StubUpstream, tmp_path: Path) -> None:
    async with (
        serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url) as gateway,
        trial_on(gateway, tmp_path) as trial,
        judge_on(gateway, tmp_path) as judge,
    ):
        await judge.respond()
        answer = await trial.respond(previous_response_id="resp_1")
        assert "that this trial did not make" in answer.text
        await trial.respond()
        assert (await trial.respond(previous_response_id="resp_1")).status_code == 200
    async with (
        serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url) as gateway,
        trial_on(gateway, tmp_path) as trial,
        judge_on(gateway, tmp_path) as judge,
    ):
        await trial.respond()
        assert "that this verification did not make" in (await judge.respond(previous_response_id="resp_1")).text


async def test_the_environments_routes_are_closed_to_a_judges_token(stub: StubUpstream, tmp_path: Path) -> None:
    async with (
        serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url) as gateway,
        trial_on(gateway, tmp_path) as trial,
        judge_on(gateway, tmp_path) as judge,
    ):
        for method, path in ENVIRONMENT:
            content = b'{"command": "echo hi"}' if method == "POST" else b""
            answer = await judge.http.request(method, path, content=content)
            assert answer.status_code == 403
            assert "this verification has no sandbox" in answer.text
        assert trial.sandbox.commands == []
        assert trial.execs == []


async def test_the_token_is_dead_when_the_verification_ends(stub: StubUpstream, tmp_path: Path) -> None:
    stub.fault = Holds(after=0)
    answers: list[httpx2.Response] = []
    token = ""
    async with serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url) as gateway:
        async with anyio.create_task_group() as group, judge_on(gateway, tmp_path) as judge:
            token = judge.session.token

            async def hang() -> None:
                async with with_token(token, gateway.port) as http:
                    answers.append(await http.post("/openai/v1/chat/completions", json=CHAT))

            group.start_soon(hang)
            await stub.arrived.wait()
        async with with_token(token, gateway.port) as http:
            answers.append(await http.post("/openai/v1/chat/completions", json=CHAT))
    assert [answer.status_code for answer in answers] == [401, 401]
    assert "this verification has ended" in answers[0].text
    assert "not that of a running trial" in answers[1].text


async def test_a_model_that_the_tests_name_is_overruled_with_a_notice(stub: StubUpstream, tmp_path: Path) -> None:
    async with (
        serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url) as gateway,
        judge_on(gateway, tmp_path) as judge,
        AsyncOpenAI(base_url=judge.openai_url, api_key=judge.session.token) as client,
    ):
        answer = await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Good?"}])
        assert answer.choices[0].message.content == "Hello."
        assert judge.session.notices[0] == "The verifier asked for model 'gpt-4o'; it is pinned to 'fair'."
        assert judge.session.failure is None
    assert stub.bodies[0]["model"] == "fair"


async def test_a_verification_that_spends_all_is_told_so_and_the_trials_budget_is_untouched(
    stub: StubUpstream, tmp_path: Path
) -> None:
    async with (
        serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url) as gateway,
        trial_on(gateway, tmp_path) as trial,
        judge_on(gateway, tmp_path, Spending(max_turns=1)) as judge,
        AsyncOpenAI(base_url=judge.openai_url, api_key=judge.session.token) as client,
    ):
        await judge.chat()
        with pytest.raises(BadRequestError, match="this verification has made all of its 1 model calls"):
            await client.chat.completions.create(**CHAT)
        assert judge.session.failure is not None
        assert judge.session.failure.cause is FailureCause.JUDGE_OUT_OF_BUDGET
        assert (await trial.chat()).status_code == 200
        assert trial.session.failure is None
    assert len(stub.received) == 2


async def test_a_judge_whose_provider_is_down_fails_its_session_alone(stub: StubUpstream, tmp_path: Path) -> None:
    async with (
        serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url, backoff=IMPATIENT) as gateway,
        trial_on(gateway, tmp_path) as trial,
        judge_on(gateway, tmp_path) as judge,
        AsyncOpenAI(base_url=judge.openai_url, api_key=judge.session.token) as client,
    ):
        stub.faults.extend([Fails(500, body="boom")] * IMPATIENT.tries)
        with pytest.raises(APIStatusError, match="the model provider is down: HTTP 500: boom"):
            await client.chat.completions.create(**CHAT)
        assert judge.session.failure is not None
        assert judge.session.failure.cause is FailureCause.JUDGE_DOWN
        assert (await trial.chat()).status_code == 200
        assert trial.session.failure is None


async def test_a_provider_that_asks_for_patience_holds_up_its_own_model_alone(
    stub: StubUpstream, tmp_path: Path
) -> None:
    slow = IMPATIENT.__class__(tries=3, total_sec=3600, first_sec=3600, longest_sec=3600, spread=0)
    async with (
        serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url, backoff=slow) as gateway,
        trial_on(gateway, tmp_path) as trial,
        judge_on(gateway, tmp_path) as judge,
        anyio.create_task_group() as group,
    ):
        stub.faults.append(Fails(429))
        group.start_soon(judge.chat)
        await stub.arrived.wait()
        with anyio.fail_after(10):
            assert (await trial.chat()).status_code == 200
        await judge.session.close()


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/openai/v1/chat/completions", {**CHAT, "web_search_options": {}}, "field 'web_search_options'"),
        ("/anthropic/v1/messages", MESSAGES, "does not offer /anthropic/v1/messages"),
        ("/openai/v1/embeddings", {"model": "fair", "input": "x"}, "POST /openai/v1/embeddings is not allowed"),
        ("/openai/v1/chat/completions", {"pad": "x" * 21_000_000}, "larger than"),
    ],
    ids=["field", "api", "route", "size"],
)
async def test_what_the_gateway_does_not_allow_a_verifier_is_noted_as_a_failure(
    stub: StubUpstream, tmp_path: Path, path: str, body: dict[str, object], said: str
) -> None:
    async with (
        serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url) as gateway,
        judge_on(gateway, tmp_path) as judge,
    ):
        assert (await judge.http.post(path, json=body)).is_client_error
        assert judge.session.failure is not None
        assert judge.session.failure.cause is FailureCause.JUDGE_REFUSED
        assert said in judge.session.failure.detail
    assert stub.received == []


def test_nothing_that_happens_to_a_judge_is_ever_a_0() -> None:
    for cause in (FailureCause.JUDGE_DOWN, FailureCause.JUDGE_REFUSED, FailureCause.JUDGE_OUT_OF_BUDGET):
        assert not RULES[cause].counts


@pytest.mark.usefixtures("stub")
async def test_without_a_judge_there_is_no_session_for_one(tmp_path: Path) -> None:
    async with serve(OPENAI) as gateway:
        with pytest.raises(GatewayError, match=r"Add \[judge\] to autoagent\.toml"):
            async with judge_on(gateway, tmp_path):
                pass


async def test_a_judge_without_its_key_is_named(stub: StubUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JUDGE_KEY_ENV)
    with pytest.raises(GatewayError, match=f"{JUDGE_KEY_ENV} is not set"):
        async with serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url):
            pass
