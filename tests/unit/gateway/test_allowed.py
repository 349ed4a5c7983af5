"""What a harness may ask of the model: a list of what is allowed, everything else refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError
from support.gateways import ANTHROPIC, CHAT, OPENAI, a_trial
from support.stub_upstream import StubUpstream

from autoagent_mcp.config import ModelSettings

COMPATIBLE = ModelSettings(provider="openai-compatible", name="small", base_url="http://127.0.0.1:9/v1")
PIXEL = "data:image/png;base64,iVBORw0KGgo="
IMAGE_BY_URL = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
CHAT_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"metadata": {"a": "b"}}, "field 'metadata'"),
    ({"user": "someone"}, "field 'user'"),
    ({"safety_identifier": "x"}, "field 'safety_identifier'"),
    ({"web_search_options": {}}, "field 'web_search_options'"),
    ({"modalities": ["audio"]}, "field 'modalities'"),
    ({"prediction": {"type": "content", "content": "x"}}, "field 'prediction'"),
    ({"functions": [{"name": "f"}]}, "field 'functions'"),
    ({"never_heard_of": 1}, "field 'never_heard_of'"),
    ({"odd\n\x1b[31mname": 1}, "field 'odd"),
    ({"store": True}, "the value of 'store'"),
    ({"n": 2}, "the value of 'n'"),
    ({"tools": [{"type": "web_search"}]}, "type 'web_search' at 'tools[0]'"),
    ({"tools": [{"type": "mcp", "server_url": "https://x"}]}, "type 'mcp' at 'tools[0]'"),
    ({"tools": [{"type": "function", "function": {"name": "f"}, "url": "x"}]}, "field 'tools[0].url'"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE_BY_URL]}]},
        "an input by URL at 'messages[0].content[1].image_url.url'",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        "type 'file' at 'messages[0].content[0]'",
    ),
    ({"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}, "'messages[0].audio'"),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "type 'function' at 'messages[0]'"),
    ({"messages": [{"role": "user", "content": "x", "extra": 1}]}, "field 'messages[0].extra'"),
    ({"stream_options": {"secret": True}}, "field 'stream_options.secret'"),
    ({"model": "gpt-9-giant"}, "model 'gpt-9-giant'"),
]
RESPONSES_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"metadata": {"a": "b"}}, "field 'metadata'"),
    ({"user": "someone"}, "field 'user'"),
    ({"conversation": "conv_1"}, "field 'conversation'"),
    ({"prompt": {"id": "pmpt_1"}}, "field 'prompt'"),
    ({"background": True}, "the value of 'background'"),
    ({"context_management": []}, "field 'context_management'"),
    ({"reasoning": {"mode": "pro"}}, "field 'reasoning.mode'"),
    ({"include": ["web_search_call.results"]}, "the value of 'include[0]'"),
    ({"previous_response_id": "resp_of_another_trial"}, "a response or reasoning item that this trial did not make"),
    ({"input": [{"type": "reasoning", "id": "rs_other", "summary": []}]}, "a response or reasoning item"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "type 'item_reference' at 'input[0]'"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x"}]}]},
        "type 'input_file' at 'input[0].content[0]'",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]},
        "field 'input[0].content[0].file_id'",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x/y.png"}]}]},
        "an input by URL at 'input[0].content[0].image_url'",
    ),
    (
        {
            "input": [
                {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file", "file_id": "f"}]}
            ]
        },
        "type 'input_file' at 'input[0].output[0]'",
    ),
    *(
        ({"tools": [{"type": kind}]}, f"type '{kind}' at 'tools[0]'")
        for kind in (
            "web_search",
            "web_search_preview",
            "file_search",
            "code_interpreter",
            "computer_use_preview",
            "image_generation",
            "mcp",
            "shell",
            "local_shell",
        )
    ),
    ({"model": "gpt-9-giant"}, "model 'gpt-9-giant'"),
]
MESSAGES_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"metadata": {"user_id": "u"}}, "field 'metadata'"),
    ({"container": "container_1"}, "field 'container'"),
    ({"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}, "field 'mcp_servers'"),
    ({"speed": "fast"}, "field 'speed'"),
    ({"inference_geo": "eu"}, "field 'inference_geo'"),
    ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "the value of 'cache_control.ttl'"),
    *(
        ({"tools": [{"type": kind, "name": "x"}]}, f"type '{kind}' at 'tools[0]'")
        for kind in (
            "web_search_20250305",
            "web_fetch_20250910",
            "code_execution_20250825",
            "computer_20250124",
            "memory_20250818",
        )
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}]}]},
        "'messages[0].content[0].source.",
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "file_1"}}]}
            ]
        },
        "'messages[0].content[0].source.",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]},
        "type 'container_upload' at 'messages[0].content[0]'",
    ),
    ({"model": "claude-giant"}, "model 'claude-giant'"),
]


async def test_chat_refuses_by_name(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        for fields, expected in CHAT_REFUSED:
            assert_refused(await trial.chat(**fields), expected)
        assert (stub.received, trial.requests, trial.session.failure) == ([], [], None)
        assert "".join(trial.session.notices).isprintable()
        assert trial.session.notices[0] == "Refused: field 'metadata' is not allowed by autoagent-mcp."


async def test_responses_refuses_by_name(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        for fields, expected in RESPONSES_REFUSED:
            assert_refused(await trial.respond(**fields), expected)
        assert (stub.received, trial.requests) == ([], [])


async def test_messages_refuses_by_name(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path, ANTHROPIC) as trial:
        for fields, expected in MESSAGES_REFUSED:
            answer = await trial.message(**fields)
            assert_refused(answer, expected)
            assert answer.json()["type"] == "error"
        assert (stub.received, trial.requests) == ([], [])


def assert_refused(answer: httpx2.Response, expected: str) -> None:
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert expected in error["message"]
    assert "is not allowed by autoagent-mcp" in error["message"]


async def test_the_sdk_shows_the_refusal_and_does_not_send_again(stub: StubUpstream, tmp_path: Path) -> None:
    async with (
        a_trial(stub, tmp_path) as trial,
        AsyncOpenAI(base_url=trial.openai_url, api_key=trial.session.token) as client,
    ):
        with pytest.raises(BadRequestError, match="field 'user' is not allowed by autoagent-mcp"):
            await client.chat.completions.create(user="me", **CHAT)


async def test_inline_images_and_documents_pass(stub: StubUpstream, tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": PIXEL}}
    async with a_trial(stub, tmp_path) as trial:
        answer = await trial.chat(messages=[{"role": "user", "content": [image]}])
        assert answer.status_code == 200
        answer = await trial.respond(
            input=[{"role": "user", "content": [{"type": "input_image", "image_url": PIXEL, "detail": "low"}]}]
        )
        assert answer.status_code == 200
    async with a_trial(stub, tmp_path, ANTHROPIC) as trial:
        source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
        content = [{"type": "document", "source": source, "cache_control": {"type": "ephemeral"}}]
        answer = await trial.message(messages=[{"role": "user", "content": content}])
        assert answer.status_code == 200
    assert stub.bodies[0]["messages"][0]["content"] == [image]


async def test_a_client_tool_that_the_harness_runs_itself_passes(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path, ANTHROPIC) as trial:
        answer = await trial.message(tools=[{"type": "bash_20250124", "name": "bash"}])
        assert answer.status_code == 200


async def test_effort_tier_and_temperature_are_pinned_whatever_the_harness_asks(
    stub: StubUpstream, tmp_path: Path
) -> None:
    pins = {"effort": "low", "service_tier": "default", "temperature": 0.0}
    async with a_trial(stub, tmp_path, OPENAI.model_copy(update=pins)) as trial:
        await trial.chat(reasoning_effort="high", service_tier="priority", temperature=1.5)
        await trial.respond(reasoning={"effort": "high", "summary": "auto"}, service_tier="priority", temperature=1)
        await trial.chat()
        notices = trial.session.notices
    async with a_trial(stub, tmp_path, ANTHROPIC.model_copy(update=pins)) as trial:
        await trial.message(output_config={"effort": "max"}, service_tier="auto", temperature=1.0)
    for body in (stub.bodies[0], stub.bodies[2]):
        assert (body["reasoning_effort"], body["service_tier"], body["temperature"]) == ("low", "default", 0.0)
    assert stub.bodies[1]["reasoning"] == {"effort": "low", "summary": "auto"}
    assert (stub.bodies[1]["service_tier"], stub.bodies[1]["temperature"]) == ("default", 0.0)
    assert stub.bodies[3]["output_config"] == {"effort": "low"}
    assert (stub.bodies[3]["service_tier"], stub.bodies[3]["temperature"]) == ("default", 0.0)
    assert "The harness asked for reasoning_effort 'high'; it is pinned to 'low'." in notices


async def test_effort_and_tier_are_the_providers_default_where_nothing_is_pinned(
    stub: StubUpstream, tmp_path: Path
) -> None:
    async with a_trial(stub, tmp_path) as trial:
        await trial.chat(reasoning_effort="high", service_tier="priority", temperature=0.5)
        await trial.respond(reasoning={"effort": "high"})
        assert "".join(trial.session.notices).isprintable()
        assert trial.session.notices[0] == (
            "The harness asked for reasoning_effort 'high'; it is not the harness's to choose."
        )
    assert "reasoning_effort" not in stub.bodies[0]
    assert "service_tier" not in stub.bodies[0]
    assert stub.bodies[0]["temperature"] == 0.5
    assert "reasoning" not in stub.bodies[1]


async def test_a_reasoning_item_of_this_trial_may_be_referred_to(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        foreign = await trial.respond(previous_response_id="resp_1")
        await trial.respond(stream=True)
        own = await trial.respond(previous_response_id="resp_1")
        assert (foreign.status_code, own.status_code) == (400, 200)


@pytest.mark.parametrize(
    ("model", "route", "offered"),
    [
        (OPENAI, "/anthropic/v1/messages", "/openai/v1/chat/completions or /openai/v1/responses"),
        (COMPATIBLE, "/anthropic/v1/messages", "/openai/v1/chat/completions"),
        (ANTHROPIC, "/openai/v1/responses", "/anthropic/v1/messages"),
    ],
)
async def test_an_api_that_the_provider_does_not_offer_is_refused_with_the_one_to_use(
    stub: StubUpstream, tmp_path: Path, model: ModelSettings, route: str, offered: str
) -> None:
    async with a_trial(stub, tmp_path, model) as trial:
        answer = await trial.http.post(route, json={})
        assert answer.status_code == 400
        assert f"does not offer {route}; use {offered}" in answer.json()["error"]["message"]


NO_REQUESTS = [
    (b"", "not valid JSON"),
    (b"{", "not valid JSON"),
    (b"[]", "not a JSON object"),
    (b'{"model": NaN}', "not valid JSON"),
    (b'{"model": "\\ud800"}', "not valid JSON"),
    (b"[" * 100_000, "not valid JSON"),
    (b'{"model": "gpt-5-mini"}', "field 'messages': Field required"),
    (b'{"model": "gpt-5-mini", "messages": "x"}', "field 'messages'"),
    (b'{"model": "gpt-5-mini", "messages": [1]}', "'messages[0]'"),
    (b'{"model": "gpt-5-mini", "messages": [], "max_tokens": -1}', "field 'max_tokens'"),
]


async def test_a_request_that_is_none_is_refused(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        for data, expected in NO_REQUESTS:
            answer = await trial.http.post("/openai/v1/chat/completions", content=data)
            assert answer.status_code == 400
            assert expected in answer.json()["error"]["message"]
        assert stub.received == []


async def test_a_beta_header_is_refused(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path, ANTHROPIC) as trial:
        headers = {"anthropic-beta": "mcp-client-2025-04-04"}
        answer = await trial.http.post("/anthropic/v1/messages", json={}, headers=headers)
        assert answer.status_code == 400
        assert "header 'anthropic-beta' is not allowed" in answer.json()["error"]["message"]


async def test_nothing_of_the_harness_but_the_checked_body_reaches_the_provider(
    stub: StubUpstream, tmp_path: Path
) -> None:
    async with a_trial(stub, tmp_path) as trial:
        headers = {"openai-organization": "org-x", "x-evil": "1", "cookie": "a=b"}
        url = "/openai/v1/chat/completions?api-version=1"
        answer = await trial.http.post(url, json=CHAT, headers=headers)
        assert answer.status_code == 200
    received = stub.received[0]
    assert not {"openai-organization", "x-evil", "cookie"} & set(received.headers)
    assert trial.session.token not in str(received)


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        answer = await trial.http.post("/openai/v1/chat/completions", content=b" " * (21 * 1024 * 1024))
        assert answer.status_code == 413
        assert "larger than 20971520 bytes" in answer.json()["error"]["message"]
