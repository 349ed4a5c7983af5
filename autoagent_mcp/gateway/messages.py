"""Anthropic Messages.

Format: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

import pydantic_core
from pydantic import Discriminator, Field, Tag
from typing_extensions import override

from autoagent_mcp.gateway.api import (
    Api,
    Asked,
    Assembler,
    Fields,
    JsonObject,
    Tokens,
    append_text,
    as_count,
    as_list,
    as_object,
    text_or_list,
)


class _CacheControl(Fields):
    type: Literal["ephemeral"]
    ttl: Literal["5m"] | None = None
    """An hour costs more than `Usage` tells apart."""


class _Block(Fields):
    cache_control: _CacheControl | None = None


class _Text(_Block):
    type: Literal["text"]
    text: str
    citations: list[JsonObject] | None = None


class _Source(Fields):
    type: Literal["base64", "text"]
    media_type: str
    data: str


class _Image(_Block):
    type: Literal["image"]
    source: _Source


class _Document(_Block):
    type: Literal["document"]
    source: _Source
    title: str | None = None
    context: str | None = None


class _Thinking(Fields):
    type: Literal["thinking"]
    thinking: str
    signature: str


class _RedactedThinking(Fields):
    type: Literal["redacted_thinking"]
    data: str


class _Direct(Fields):
    type: Literal["direct"]


class _ToolUse(_Block):
    type: Literal["tool_use"]
    id: str
    name: str
    input: JsonObject
    caller: _Direct | None = None


_String = Annotated[str, Tag("text")]
_ResultPart = Annotated[_Text | _Image | _Document, Field(discriminator="type")]
_ResultContent = Annotated[_String | Annotated[list[_ResultPart], Tag("list")], Discriminator(text_or_list)]


class _ToolResult(_Block):
    type: Literal["tool_result"]
    tool_use_id: str
    content: _ResultContent | None = None
    is_error: bool | None = None


_Part = Annotated[
    _Text | _Image | _Document | _Thinking | _RedactedThinking | _ToolUse | _ToolResult, Field(discriminator="type")
]
_Content = Annotated[_String | Annotated[list[_Part], Tag("list")], Discriminator(text_or_list)]


class _Message(Fields):
    role: Literal["user", "assistant", "system"]
    content: _Content


class _CustomTool(_Block):
    type: Literal["custom"] | None = None
    name: str
    description: str | None = None
    input_schema: JsonObject
    strict: bool | None = None
    eager_input_streaming: bool | None = None
    input_examples: list[JsonObject] | None = None


class _ClientTool(_Block):
    """A tool whose schema the model knows, and that the harness runs itself."""

    type: str
    name: str
    max_characters: int | None = None


_CLIENT_TOOL = re.compile(r"(bash|text_editor)_\d{8}")


def _tool_type(value: object) -> str:
    kind = str(as_object(value).get("type") or "custom")
    return "bash_*, text_editor_*" if _CLIENT_TOOL.fullmatch(kind) else kind


class _ToolChoice(Fields):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _ThinkingConfig(Fields):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = None
    display: str | None = None


class _OutputConfig(Fields):
    effort: str | None = None
    format: JsonObject | None = None


class MessagesRequest(Asked):
    """What a Messages request may say."""

    max_tokens: int = Field(ge=1)
    messages: list[_Message]
    cache_control: _CacheControl | None = None
    output_config: _OutputConfig | None = None
    stop_sequences: list[str] | None = None
    system: Annotated[_String | Annotated[list[_Text], Tag("list")], Discriminator(text_or_list)] | None = None
    thinking: _ThinkingConfig | None = None
    tool_choice: _ToolChoice | None = None
    tools: (
        list[
            Annotated[
                Annotated[_CustomTool, Tag("custom")] | Annotated[_ClientTool, Tag("bash_*, text_editor_*")],
                Discriminator(_tool_type),
            ]
        ]
        | None
    ) = None
    top_k: int | None = None


_TEXT_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class _MessagesAssembler(Assembler):
    def __init__(self) -> None:
        super().__init__()
        self._message: JsonObject = {"type": "message", "role": "assistant"}
        self._usage: JsonObject = {}
        self._blocks: dict[int, JsonObject] = {}

    @override
    def add(self, event: JsonObject) -> None:
        kind, index = event.get("type"), as_count(event.get("index"))
        if kind == "message_start":
            self._message = dict(as_object(event.get("message")))
            self._add_usage(self._message)
        elif kind == "content_block_start":
            self._blocks[index] = dict(as_object(event.get("content_block")))
        elif kind == "content_block_delta":
            self._add_delta(self._blocks.setdefault(index, {}), as_object(event.get("delta")))
        elif kind == "message_delta":
            self._message.update(as_object(event.get("delta")))
            self._add_usage(event)
        elif kind == "message_stop":
            self.is_complete = True

    def _add_usage(self, event: JsonObject) -> None:
        self._usage |= {key: value for key, value in as_object(event.get("usage")).items() if value is not None}

    @staticmethod
    def _add_delta(block: JsonObject, delta: JsonObject) -> None:
        kind = delta.get("type")
        if kind in _TEXT_DELTAS:
            append_text(block, _TEXT_DELTAS[kind], delta.get(_TEXT_DELTAS[kind]))
        elif kind == "input_json_delta":
            append_text(block, "partial_json", delta.get("partial_json"))
        elif kind == "citations_delta":
            block["citations"] = [*as_list(block.get("citations")), delta.get("citation")]

    @override
    def _body(self) -> JsonObject:
        blocks = [self._blocks[number] for number in sorted(self._blocks)]
        return {**self._message, "usage": self._usage, "content": blocks}

    @override
    def whole(self) -> JsonObject:
        """Return what has come so far; a tool's input that broke off stays the text that it was sent as."""
        body = super().whole()
        for block in body["content"]:
            text = block.pop("partial_json", None)
            if text is not None:
                block["input"] = _value_or_text(text)
        return body


def _value_or_text(text: str) -> object:
    try:
        return pydantic_core.from_json(text)
    except ValueError:
        return text


_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
}


class MessagesApi(Api):
    """Anthropic Messages."""

    name = "messages"
    path = "/anthropic/v1/messages"
    upstream_path = "/messages"
    request = MessagesRequest
    effort_path = ("output_config", "effort")
    limit_fields: ClassVar[tuple[str, ...]] = ("max_tokens",)

    @override
    def own_ids(self, body: JsonObject) -> set[str]:
        return set()

    @override
    def made_ids(self, answer: JsonObject) -> set[str]:
        return set()

    @override
    def tokens(self, answer: JsonObject) -> Tokens | None:
        """Read the usage; `input_tokens` leaves out what was read from a cache or written to one."""
        usage = as_object(answer.get("usage"))
        if not usage:
            return None
        cached = as_count(usage.get("cache_read_input_tokens"))
        written = as_count(usage.get("cache_creation_input_tokens"))
        return Tokens(
            prompt=as_count(usage.get("input_tokens")) + cached + written,
            completion=as_count(usage.get("output_tokens")),
            cached=cached,
            cache_written=written,
        )

    @override
    def is_answer(self, body: JsonObject) -> bool:
        return body.get("type") == "message" and isinstance(body.get("content"), list)

    @override
    def least_output(self, body: JsonObject) -> int:
        """The answer must be longer than the thinking that was asked for."""
        return max(super().least_output(body), as_count(as_object(body.get("thinking")).get("budget_tokens")) + 1)

    @override
    def assembler(self) -> Assembler:
        return _MessagesAssembler()

    @override
    def error(self, code: str, message: str, status: int) -> JsonObject:
        kind = _ERROR_TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": f"{message} ({code})"}}
