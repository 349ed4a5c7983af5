"""Unmodified SDKs hold conversations with parallel tool calls and reasoning through the gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from anthropic import AsyncAnthropic
from anthropic.types import Message, TextBlock
from openai import AsyncOpenAI
from openai.types.shared import Reasoning
from support.gateways import ANTHROPIC, OPENAI, Trial, a_trial
from support.stub_upstream import StubUpstream
from support.wire import Answer, Json, ToolCall

from autoagent_mcp.models.trial import Usage

CALLS = (ToolCall("call_a", "weather", {"city": "Oslo"}), ToolCall("call_b", "weather", {"city": "Rome"}))
FIRST = Answer(text="I look.", reasoning="Two cities, two calls.", calls=CALLS, number=1)
LAST = Answer(text="Oslo 3, Rome 15.", reasoning="Both are known.", prompt_tokens=200, number=2)
PRICES_PER_MILLION = {"gpt-5-mini": (0.25, 0.025, 2.0), "claude-sonnet-4-6": (3.0, 0.3, 15.0)}
WEATHER: Json = {
    "name": "weather",
    "description": "Temperature of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TEMPERATURES = {"Oslo": "3", "Rome": "15"}


def two_turns(body: Json) -> Answer:
    """Ask for both tools first; answer once both results are there."""
    text = json.dumps(body)
    has_results = any(word in text for word in ('"tool_result"', '"function_call_output"', '"role": "tool"'))
    return LAST if has_results else FIRST


@pytest.fixture(autouse=True)
def conversation(stub: StubUpstream) -> None:
    """Have the stub hold the conversation."""
    stub.answer = two_turns
    set_tracing_disabled(disabled=True)


def assert_two_calls_are_recorded(trial: Trial, model: str) -> None:
    """The record holds both calls whole, with usage and cost from the price list."""
    assert [line.call for line in trial.requests] == [1, 2]
    assert [(line.call, line.complete, line.error, line.status) for line in trial.responses] == [
        (1, True, "", 200),
        (2, True, "", 200),
    ]
    fresh, cached, output = PRICES_PER_MILLION[model]
    cost = (60 * fresh + 40 * cached + 20 * output + 160 * fresh + 40 * cached + 20 * output) / 1e6
    usage = trial.session.usage
    assert usage == Usage(
        model_calls=2, prompt_tokens=300, completion_tokens=40, cached_tokens=80, cost_usd=usage.cost_usd
    )
    assert usage.cost_usd == pytest.approx(cost)
    assert trial.session.failure is None


@function_tool
def weather(city: str) -> str:
    """Temperature of a city."""
    return TEMPERATURES[city]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_openai_agents_holds_a_conversation(stub: StubUpstream, tmp_path: Path, api: str, streamed: bool) -> None:  # noqa: FBT001
    async with (
        a_trial(stub, tmp_path) as trial,
        AsyncOpenAI(base_url=trial.openai_url, api_key=trial.session.token) as client,
    ):
        kind = OpenAIChatCompletionsModel if api == "chat" else OpenAIResponsesModel
        agent = Agent(
            name="agent",
            instructions="Be brief.",
            model=kind(OPENAI.name, client),
            tools=[weather],
            model_settings=ModelSettings(reasoning=Reasoning(summary="auto"), parallel_tool_calls=True),
        )
        if streamed:
            result = Runner.run_streamed(agent, "Oslo and Rome?")
            async for _ in result.stream_events():
                pass
        else:
            result = await Runner.run(agent, "Oslo and Rome?")
        assert result.final_output == "Oslo 3, Rome 15."
        assert_two_calls_are_recorded(trial, OPENAI.name)
        assert [line.api for line in trial.requests] == [api, api]
        results = [json.dumps(item) for item in stub.bodies[1]["messages" if api == "chat" else "input"]]
        assert any("call_a" in item and '"3"' in item for item in results)
        assert any("call_b" in item and '"15"' in item for item in results)


async def test_openai_chat_streams_reasoning_and_parallel_calls(stub: StubUpstream, tmp_path: Path) -> None:
    async with (
        a_trial(stub, tmp_path) as trial,
        AsyncOpenAI(base_url=trial.openai_url, api_key=trial.session.token) as client,
    ):
        messages: list[Any] = [{"role": "user", "content": "Oslo and Rome?"}]
        tools: list[Any] = [{"type": "function", "function": WEATHER}]
        text, reasoning = "", ""
        for _ in range(2):
            stream = await client.chat.completions.create(
                model=OPENAI.name, messages=messages, tools=tools, stream=True
            )
            text, reasoning, calls = "", "", dict[int, dict[str, str]]()
            async for chunk in stream:
                delta = chunk.choices[0].delta
                text += delta.content or ""
                reasoning += getattr(delta, "reasoning_content", None) or ""
                for call in delta.tool_calls or []:
                    known = calls.setdefault(call.index, {"id": call.id or "", "arguments": ""})
                    known["arguments"] += (call.function.arguments if call.function else "") or ""
            messages.append(
                {
                    "role": "assistant",
                    "content": text,
                    "reasoning_content": reasoning,
                    "tool_calls": [
                        {
                            "id": call["id"],
                            "type": "function",
                            "function": {"name": "weather", "arguments": call["arguments"]},
                        }
                        for call in calls.values()
                    ],
                }
            )
            for call in calls.values():
                found = TEMPERATURES[json.loads(call["arguments"])["city"]]
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": found})
        assert (text, reasoning) == ("Oslo 3, Rome 15.", "Both are known.")
        assert_two_calls_are_recorded(trial, OPENAI.name)
        assert stub.bodies[0]["stream_options"] == {"include_usage": True}


async def test_a_client_that_asks_for_the_usage_chunk_gets_it(stub: StubUpstream, tmp_path: Path) -> None:
    async with (
        a_trial(stub, tmp_path) as trial,
        AsyncOpenAI(base_url=trial.openai_url, api_key=trial.session.token) as client,
    ):
        stream = await client.chat.completions.create(
            model=OPENAI.name,
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.prompt_tokens == 100


async def test_openai_responses_streams_with_the_trials_own_previous_response(
    stub: StubUpstream, tmp_path: Path
) -> None:
    async with (
        a_trial(stub, tmp_path) as trial,
        AsyncOpenAI(base_url=trial.openai_url, api_key=trial.session.token) as client,
    ):
        tools: list[Any] = [{"type": "function", "strict": False, **WEATHER}]
        async with client.responses.stream(model=OPENAI.name, input="Oslo and Rome?", tools=tools) as stream:
            kinds = {event.type async for event in stream}
            first = await stream.get_final_response()
        assert {"response.reasoning_summary_text.delta", "response.function_call_arguments.delta"} <= kinds
        outputs: list[Any] = [
            {"type": "function_call_output", "call_id": item.call_id, "output": "3"}
            for item in first.output
            if item.type == "function_call"
        ]
        second = await client.responses.create(
            model=OPENAI.name, input=outputs, tools=tools, previous_response_id=first.id
        )
        assert second.output_text == "Oslo 3, Rome 15."
        assert stub.bodies[1]["previous_response_id"] == "resp_1"
        assert_two_calls_are_recorded(trial, OPENAI.name)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_anthropic_holds_a_conversation_with_signed_thinking(
    stub: StubUpstream,
    tmp_path: Path,
    streamed: bool,  # noqa: FBT001
) -> None:
    async with (
        a_trial(stub, tmp_path, ANTHROPIC) as trial,
        AsyncAnthropic(base_url=trial.anthropic_url, api_key=trial.session.token) as client,
    ):
        messages: list[Any] = [{"role": "user", "content": "Oslo and Rome?"}]
        arguments: dict[str, Any] = {
            "model": ANTHROPIC.name,
            "max_tokens": 4000,
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "tools": [{"name": "weather", "description": "T", "input_schema": WEATHER["parameters"]}],
            "messages": messages,
        }
        message: Message | None = None
        for _ in range(2):
            if streamed:
                async with client.messages.stream(**arguments) as stream:
                    message = cast("Message", await stream.get_final_message())
            else:
                message = cast("Message", await client.messages.create(**arguments))
            messages.append({"role": "assistant", "content": message.content})
            results = [
                {"type": "tool_result", "tool_use_id": block.id, "content": TEMPERATURES[str(block.input["city"])]}
                for block in message.content
                if block.type == "tool_use"
            ]
            messages.append({"role": "user", "content": results})
        assert message is not None
        assert isinstance(message.content[-1], TextBlock)
        assert message.content[-1].text == "Oslo 3, Rome 15."
        thinking = stub.bodies[1]["messages"][1]["content"][0]
        assert (thinking["thinking"], thinking["signature"]) == ("Two cities, two calls.", "sig-1")
        assert stub.received[0].headers["anthropic-version"] == "2023-06-01"
        assert_two_calls_are_recorded(trial, ANTHROPIC.name)


async def test_a_stream_is_recorded_as_the_same_object_as_a_whole_answer(stub: StubUpstream, tmp_path: Path) -> None:
    stub.answer = lambda _body: FIRST
    async with a_trial(stub, tmp_path) as trial:
        for streamed in (False, True):
            await trial.respond(stream=streamed)
            await trial.chat(stream=streamed)
        responses_whole, chat_whole, responses_streamed, chat_streamed = (line.body for line in trial.responses)
    assert responses_streamed == responses_whole
    assert chat_whole is not None
    assert chat_streamed is not None
    for body in (chat_whole, chat_streamed):
        body["choices"] = [{key: value for key, value in body["choices"][0].items() if key != "logprobs"}]
        body["choices"][0]["message"].setdefault("refusal", None)
    assert chat_streamed == chat_whole
    async with a_trial(stub, tmp_path / "messages", ANTHROPIC) as trial:
        for streamed in (False, True):
            await trial.message(stream=streamed)
        whole, streamed_body = (line.body for line in trial.responses)
    assert streamed_body == whole
