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
    as_object,
    text_or_list,
)


class _CacheControl(Fields):
    type: Literal["ephemeral"]
    ttl: str | None = None


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
        self._blocks: dict[int, JsonObject] = {}
        self._inputs: dict[int, JsonObject] = {}

    @override
    def add(self, event: JsonObject) -> None:
        kind, index = event.get("type"), as_count(event.get("index"))
        if kind == "message_start":
            self.body = dict(as_object(event.get("message")))
        if self.body is None:
            self.body = {"type": "message", "role": "assistant"}
        if kind == "content_block_start":
            self._blocks[index] = dict(as_object(event.get("content_block")))
        elif kind == "content_block_delta":
            self._add_delta(index, as_object(event.get("delta")))
        elif kind == "content_block_stop":
            self._finish_input(index)
        elif kind == "message_delta":
            self.body.update(as_object(event.get("delta")))
            reported = {key: value for key, value in as_object(event.get("usage")).items() if value is not None}
            self.body["usage"] = {**as_object(self.body.get("usage")), **reported}
        elif kind == "message_stop":
            self.is_complete = True
        self.body["content"] = [self._blocks[number] for number in sorted(self._blocks)]

    def _add_delta(self, index: int, delta: JsonObject) -> None:
        block = self._blocks.setdefault(index, {})
        kind = delta.get("type")
        if kind in _TEXT_DELTAS:
            append_text(block, _TEXT_DELTAS[kind], delta.get(_TEXT_DELTAS[kind]))
        elif kind == "input_json_delta":
            append_text(self._inputs.setdefault(index, {}), "json", delta.get("partial_json"))
            block["input"] = self._inputs[index]["json"]
        elif kind == "citations_delta":
            block.setdefault("citations", []).append(delta.get("citation"))

    def _finish_input(self, index: int) -> None:
        """Replace the text of a tool's input, which is all that is there of one that broke off, by its value."""
        text = self._inputs.pop(index, {}).get("json")
        if text is not None:
            self._blocks[index]["input"] = _value_or_text(text)


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
    def assembler(self) -> Assembler:
        return _MessagesAssembler()

    @override
    def error(self, code: str, message: str, status: int) -> JsonObject:
        kind = _ERROR_TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": f"{message} ({code})"}}
