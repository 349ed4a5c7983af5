"""Answers in the documented wire formats of the three model APIs, whole and as events.

Sources: platform.openai.com/docs/api-reference (Chat Completions, Responses), docs.anthropic.com/en/api (Messages).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Event = tuple[str | None, Json | str]
"""Name (None where the API gives none) and data."""


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asks for."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True)
class Answer:
    """What the model says in one turn."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    prompt_tokens: int = 100
    cached_tokens: int = 40
    completion_tokens: int = 20
    number: int = 1
    """Goes into the ids."""


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def chat(answer: Answer, model: str) -> Json:
    """Write a chat completion."""
    message: Json = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in answer.calls
        ]
    reason = "tool_calls" if answer.calls else "stop"
    return {
        "id": f"chatcmpl-{answer.number}",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": _chat_usage(answer),
    }


def _chat_usage(answer: Answer) -> Json:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }


def chat_events(answer: Answer, model: str, *, include_usage: bool) -> Iterator[Event]:
    """Write a chat completion as chunks."""

    def chunk(delta: Json | None, finish_reason: str | None = None, usage: Json | None = None) -> Event:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
        body = {"id": f"chatcmpl-{answer.number}", "object": "chat.completion.chunk", "created": 1_760_000_000}
        told = {"usage": usage} if include_usage else {}
        return None, {**body, "model": model, "choices": choices, **told}

    yield chunk({"role": "assistant", "content": None if answer.calls else ""})
    for piece in _halves(answer.reasoning) if answer.reasoning else ():
        yield chunk({"reasoning_content": piece})
    for piece in _halves(answer.text) if answer.text else ():
        yield chunk({"content": piece})
    for index, call in enumerate(answer.calls):
        head = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield chunk({"tool_calls": [head]})
    for index, call in enumerate(answer.calls):
        for piece in _halves(json.dumps(call.arguments)):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, "tool_calls" if answer.calls else "stop")
    if include_usage:
        yield chunk(None, usage=_chat_usage(answer))
    yield None, "[DONE]"


def _response_items(answer: Answer) -> list[Json]:
    items: list[Json] = []
    if answer.reasoning:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        items.append({"id": f"rs_{answer.number}", "type": "reasoning", "summary": summary})
    if answer.text:
        part: Json = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        message = {"id": f"msg_{answer.number}", "type": "message", "status": "completed", "role": "assistant"}
        items.append({**message, "content": [part]})
    items += [
        {
            "id": f"fc_{call.id}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": json.dumps(call.arguments),
        }
        for call in answer.calls
    ]
    return items


def response(answer: Answer, model: str) -> Json:
    """Write a response."""
    return {
        "id": f"resp_{answer.number}",
        "object": "response",
        "created_at": 1_760_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": _response_items(answer),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": answer.prompt_tokens,
            "input_tokens_details": {"cached_tokens": answer.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": answer.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        },
    }


def response_events(answer: Answer, model: str) -> Iterator[Event]:
    """Write a response as events."""
    whole = response(answer, model)
    begun: Json = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[Json] = [{"type": "response.created", "response": begun}]
    events.append({"type": "response.in_progress", "response": begun})
    for index, item in enumerate(whole["output"]):
        events += [{**event, "output_index": index, "item_id": item["id"]} for event in _item_events(item)]
    events.append({"type": "response.completed", "response": whole})
    for number, event in enumerate(events):
        yield event["type"], {**event, "sequence_number": number}


def _item_events(item: Json) -> list[Json]:
    empty: Json
    if item["type"] == "reasoning":
        empty = {**item, "summary": []}
        part = item["summary"][0]
        name, place = "response.reasoning_summary", {"summary_index": 0}
        inner = _text_events(f"{name}_part", f"{name}_text", place, part)
    elif item["type"] == "message":
        empty = {**item, "status": "in_progress", "content": []}
        part = item["content"][0]
        inner = _text_events("response.content_part", "response.output_text", {"content_index": 0}, part)
    else:
        empty, name = {**item, "status": "in_progress", "arguments": ""}, "response.function_call_arguments"
        inner = [{"type": f"{name}.delta", "delta": piece} for piece in _halves(item["arguments"])]
        inner.append({"type": f"{name}.done", "arguments": item["arguments"], "name": item["name"]})
    return [
        {"type": "response.output_item.added", "item": empty},
        *inner,
        {"type": "response.output_item.done", "item": item},
    ]


def _text_events(part_name: str, text_name: str, place: Json, part: Json) -> list[Json]:
    extra: Json = {"logprobs": []} if part["type"] == "output_text" else {}
    deltas = [{"type": f"{text_name}.delta", "delta": piece, **place, **extra} for piece in _halves(part["text"])]
    return [
        {"type": f"{part_name}.added", "part": {**part, "text": ""}, **place},
        *deltas,
        {"type": f"{text_name}.done", "text": part["text"], **place, **extra},
        {"type": f"{part_name}.done", "part": part, **place},
    ]


def _blocks(answer: Answer) -> list[Json]:
    blocks: list[Json] = []
    if answer.reasoning:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": f"sig-{answer.number}"})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    return blocks + [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in answer.calls
    ]


def message(answer: Answer, model: str) -> Json:
    """Write a message."""
    return {
        "id": f"msg_{answer.number}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": _blocks(answer),
        "stop_reason": "tool_use" if answer.calls else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": answer.prompt_tokens - answer.cached_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": answer.cached_tokens,
            "output_tokens": answer.completion_tokens,
        },
    }


def message_events(answer: Answer, model: str) -> Iterator[Event]:
    """Write a message as events."""
    whole = message(answer, model)
    begun: Json = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    yield "message_start", {"type": "message_start", "message": begun}
    yield "ping", {"type": "ping"}
    for index, block in enumerate(whole["content"]):
        empty, deltas = _block_events(block)
        yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": answer.completion_tokens}
    yield "message_delta", {"type": "message_delta", "delta": delta, "usage": usage}
    yield "message_stop", {"type": "message_stop"}


def _block_events(block: Json) -> tuple[Json, list[Json]]:
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _halves(block["thinking"])]
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*deltas, signed]
    if block["type"] == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in _halves(block["text"])]
    pieces = _halves(json.dumps(block["input"]))
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
