"""What Chat Completions, Responses and Messages say, as the same few kinds of item.

Bodies may have any shape: a provider may answer garbage and a harness may send it. What is not understood is left out
or named in brackets; nothing here raises.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

from autoagent_mcp.models.records import Api

JsonObject = dict[str, Any]
Kind = Literal["system", "user", "agent", "call", "result"]

_DEPTH_LIMIT = 40
_DIGITS_LIMIT = 1000
_NONE: JsonObject = {}
_SYSTEM_ROLES = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in a conversation: a message, a tool call or its result. Reasoning is none: it is not sent again."""

    kind: Kind
    text: str = ""
    id: str = ""
    """Of a tool call, also on its result."""
    name: str = ""
    arguments: JsonObject = field(default_factory=dict[str, Any], compare=False)
    """Not compared: SDKs write the same arguments in other ways when they send them again."""


class Asked(NamedTuple):
    """A request."""

    system: str
    items: list[Item]
    previous: str
    """Responses: the id of the answer that it continues."""
    tools: list[JsonObject]
    """In OpenAI's form, as ATIF wants them."""
    effort: str


class Reply(NamedTuple):
    """An answer."""

    items: list[Item]
    """As the next request would carry them."""
    text: str
    reasoning: str
    id: str
    model: str
    finish: str

    @property
    def calls(self) -> list[Item]:
        """The tool calls, all of them."""
        return [item for item in self.items if item.kind == "call"]


def read_request(api: Api, body: JsonObject) -> Asked:
    """Read a request of any of the three APIs."""
    items = list(_REQUESTS[api](body))
    start = next((index for index, item in enumerate(items) if item.kind != "system"), len(items))
    return Asked(
        system="\n\n".join(item.text for item in items[:start]),
        items=items[start:],
        previous=_string(body.get("previous_response_id")),
        tools=[_tool(one) for one in _objects(body.get("tools"))],
        effort=_effort(body),
    )


def read_reply(api: Api, body: JsonObject) -> Reply:
    """Read an answer of any of the three APIs, also one that broke off."""
    return _REPLIES[api](body)


def read_error(body: JsonObject) -> str:
    """Return the message of an error body, which all three APIs put in the same place."""
    return _string(_object(body.get("error")).get("message"))


# Chat Completions


def _chat_items(body: JsonObject) -> Iterator[Item]:
    for message in _objects(body.get("messages")):
        yield from _chat_message(message)


def _chat_message(message: JsonObject) -> Iterator[Item]:
    role, text = _string(message.get("role")), _text(message.get("content"))
    if role == "assistant":
        text = text or _string(message.get("refusal"))
        if text.strip():
            yield Item("agent", text.strip())
        yield from (_chat_call(call) for call in _objects(message.get("tool_calls")))
    elif role == "tool":
        yield Item("result", text, id=_string(message.get("tool_call_id")))
    else:
        yield Item("system" if role in _SYSTEM_ROLES else "user", text)


def _chat_call(call: JsonObject) -> Item:
    called = _object(call.get("function")) or _object(call.get("custom"))
    arguments = _arguments(called.get("arguments", called.get("input")))
    return Item("call", id=_string(call.get("id")), name=_string(called.get("name")), arguments=arguments)


def _chat_reply(body: JsonObject) -> Reply:
    choice = next(iter(_objects(body.get("choices"))), _NONE)
    message = _object(choice.get("message"))
    return Reply(
        items=list(_chat_message({**message, "role": "assistant"})),
        text=_text(message.get("content")) or _string(message.get("refusal")),
        reasoning=_string(message.get("reasoning_content")) or _string(message.get("reasoning")),
        id="",
        model=_string(body.get("model")),
        finish=_string(choice.get("finish_reason")),
    )


# Responses


def _responses_items(body: JsonObject) -> Iterator[Item]:
    if instructions := _text(body.get("instructions")):
        yield Item("system", instructions)
    sent = body.get("input")
    if isinstance(sent, str):
        yield Item("user", sent)
    else:
        yield from _response_items(_objects(sent))


def _response_items(sent: list[JsonObject]) -> Iterator[Item]:
    for item in sent:
        kind = _string(item.get("type")) or "message"
        if kind == "message":
            yield from _response_message(item)
        elif kind.endswith("_output"):
            yield Item("result", _text(item.get("output")), id=_string(item.get("call_id")))
        elif kind.endswith("_call"):
            arguments = _arguments(item.get("arguments", item.get("input", item.get("action"))))
            name = _string(item.get("name")) or kind
            yield Item("call", id=_string(item.get("call_id")), name=name, arguments=arguments)


def _response_message(item: JsonObject) -> Iterator[Item]:
    role, text = _string(item.get("role")), _text(item.get("content"))
    if role == "assistant":
        if text.strip():
            yield Item("agent", text.strip())
    else:
        yield Item("system" if role in _SYSTEM_ROLES else "user", text)


def _responses_reply(body: JsonObject) -> Reply:
    output = _objects(body.get("output"))
    said = [_text(item.get("content")) for item in output if item.get("type") == "message"]
    thought = [item for item in output if item.get("type") == "reasoning"]
    parts = [_text(item.get("summary")) or _text(item.get("content")) for item in thought]
    why = _string(_object(body.get("incomplete_details")).get("reason"))
    return Reply(
        items=list(_response_items(output)),
        text="\n".join(said),
        reasoning="\n\n".join(part for part in parts if part),
        id=_string(body.get("id")),
        model=_string(body.get("model")),
        finish=why or _string(body.get("status")),
    )


# Messages


def _messages_items(body: JsonObject) -> Iterator[Item]:
    if system := _text(body.get("system")):
        yield Item("system", system)
    for message in _objects(body.get("messages")):
        yield from _messages_message(message)


def _messages_message(message: JsonObject) -> Iterator[Item]:
    """One item for the text before, between and after tool blocks, however many blocks it is cut into."""
    role = _string(message.get("role"))
    kind: Kind = "agent" if role == "assistant" else "system" if role in _SYSTEM_ROLES else "user"
    content = message.get("content")
    said: list[str] = [content] if isinstance(content, str) else []
    for block in [] if isinstance(content, str) else _objects(content):
        item = _block(block)
        if item is None:
            said += [_text([block])] if block.get("type") not in ("thinking", "redacted_thinking") else []
            continue
        yield from _said(kind, said)
        said = []
        yield item
    yield from _said(kind, said)


def _said(kind: Kind, parts: list[str]) -> Iterator[Item]:
    text = "\n".join(parts)
    text = text.strip() if kind == "agent" else text
    if text:
        yield Item(kind, text)


def _block(block: JsonObject) -> Item | None:
    if block.get("type") == "tool_use":
        arguments = _arguments(block.get("input"))
        return Item("call", id=_string(block.get("id")), name=_string(block.get("name")), arguments=arguments)
    if block.get("type") == "tool_result":
        return Item("result", _text(block.get("content")), id=_string(block.get("tool_use_id")))
    return None


def _messages_reply(body: JsonObject) -> Reply:
    blocks = _objects(body.get("content"))
    thought = [_string(block.get("thinking")) for block in blocks if block.get("type") == "thinking"]
    thought += ["[redacted]" for block in blocks if block.get("type") == "redacted_thinking"]
    return Reply(
        items=list(_messages_message({"role": "assistant", "content": blocks})),
        text="\n".join(_string(block.get("text")) for block in blocks if block.get("type") == "text"),
        reasoning="\n\n".join(part for part in thought if part),
        id="",
        model=_string(body.get("model")),
        finish=_string(body.get("stop_reason")),
    )


_REQUESTS: dict[Api, Callable[[JsonObject], Iterator[Item]]] = {
    "chat": _chat_items,
    "responses": _responses_items,
    "messages": _messages_items,
}
_REPLIES: dict[Api, Callable[[JsonObject], Reply]] = {
    "chat": _chat_reply,
    "responses": _responses_reply,
    "messages": _messages_reply,
}


# What they have in common


def _tool(tool: JsonObject) -> JsonObject:
    if isinstance(tool.get("function"), dict):
        return _plain_object(tool)
    tool = _object(tool.get("custom")) or tool
    parameters = tool.get("parameters", tool.get("input_schema"))
    known = {"name": tool.get("name"), "description": tool.get("description"), "parameters": parameters}
    return {"type": "function", "function": _plain_object({key: one for key, one in known.items() if one is not None})}


def _effort(body: JsonObject) -> str:
    for holder in ("reasoning", "output_config"):
        if effort := _string(_object(body.get(holder)).get("effort")):
            return effort
    return _string(body.get("reasoning_effort"))


def _arguments(value: object) -> JsonObject:
    """Return arguments as an object; what is none stands under `raw`, as it was written."""
    if isinstance(value, str):
        try:
            parsed: object = json.loads(value) if value.strip() else _NONE
        except (ValueError, RecursionError):
            return {"raw": value}
        return _plain_object(cast("JsonObject", parsed)) if isinstance(parsed, dict) else {"raw": value}
    if isinstance(value, dict):
        return _plain_object(cast("JsonObject", value))
    return {} if value is None else {"raw": _plain(value)}


def _plain_object(value: JsonObject) -> JsonObject:
    return {_clean(str(key)): _plain(one) for key, one in value.items()}


def _plain(value: object, depth: int = 0) -> object:
    """Make sure that a value can be written as JSON and read by anyone: no NaN, no half surrogates, no abyss."""
    if not isinstance(value, dict | list):
        return _plain_scalar(value)
    if depth > _DEPTH_LIMIT:
        return "[nested too deep]"
    if isinstance(value, list):
        return [_plain(one, depth + 1) for one in cast("list[object]", value)]
    return {_clean(str(key)): _plain(one, depth + 1) for key, one in cast("JsonObject", value).items()}


def _plain_scalar(value: object) -> object:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) >= 10**_DIGITS_LIMIT:
        return f"[a number of more than {_DIGITS_LIMIT} digits]"
    return value


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode(errors="replace").decode()


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(_part(part) for part in cast("list[object]", content)) if isinstance(content, list) else ""


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    fields = _object(part)
    for key in ("text", "refusal"):
        if isinstance(fields.get(key), str):
            return fields[key]
    return f"[{_string(fields.get('type')) or 'unknown part'}]"


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> JsonObject:
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def _objects(value: object) -> list[JsonObject]:
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("JsonObject", one) for one in found if isinstance(one, dict)]
