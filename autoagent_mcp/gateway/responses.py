"""OpenAI Responses.

Format: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag
from typing_extensions import override

from autoagent_mcp.gateway.api import (
    Api,
    Asked,
    Assembler,
    Fields,
    InlineUrl,
    JsonObject,
    Tokens,
    append_text,
    as_count,
    as_list,
    as_object,
    text_or_list,
)
from autoagent_mcp.gateway.chat import openai_error

_Status = Literal["in_progress", "completed", "incomplete"]


class _InputText(Fields):
    type: Literal["input_text"]
    text: str


class _InputImage(Fields):
    type: Literal["input_image"]
    image_url: InlineUrl
    detail: str | None = None


class _OutputText(Fields):
    type: Literal["output_text"]
    text: str
    annotations: list[JsonObject] | None = None
    logprobs: list[JsonObject] | None = None


class _Refusal(Fields):
    type: Literal["refusal"]
    refusal: str


_String = Annotated[str, Tag("text")]
_Part = Annotated[_InputText | _InputImage | _OutputText | _Refusal, Field(discriminator="type")]
_OutputPart = Annotated[_InputText | _InputImage, Field(discriminator="type")]
_Content = Annotated[_String | Annotated[list[_Part], Tag("list")], Discriminator(text_or_list)]
_Output = Annotated[_String | Annotated[list[_OutputPart], Tag("list")], Discriminator(text_or_list)]


class _Message(Fields):
    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: _Content
    id: str | None = None
    status: _Status | None = None
    phase: str | None = None


class _Direct(Fields):
    type: Literal["direct"]


class _FunctionCall(Fields):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: _Status | None = None
    caller: _Direct | None = None
    namespace: str | None = None


class _FunctionOutput(Fields):
    type: Literal["function_call_output"]
    call_id: str
    output: _Output
    id: str | None = None
    status: _Status | None = None
    caller: _Direct | None = None
    name: str | None = None
    namespace: str | None = None


class _CustomCall(Fields):
    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    input: str
    id: str | None = None
    status: _Status | None = None
    caller: _Direct | None = None
    namespace: str | None = None


class _CustomOutput(Fields):
    type: Literal["custom_tool_call_output"]
    call_id: str
    output: _Output
    id: str | None = None
    status: _Status | None = None
    caller: _Direct | None = None


class _Summary(Fields):
    type: Literal["summary_text"]
    text: str


class _ReasoningText(Fields):
    type: Literal["reasoning_text"]
    text: str


class _ReasoningItem(Fields):
    type: Literal["reasoning"]
    id: str | None = None
    summary: list[_Summary]
    content: list[_ReasoningText] | None = None
    encrypted_content: str | None = None
    status: _Status | None = None


def _item_type(value: object) -> str:
    return str(as_object(value).get("type") or "message")


_Item = Annotated[
    Annotated[_Message, Tag("message")]
    | Annotated[_FunctionCall, Tag("function_call")]
    | Annotated[_FunctionOutput, Tag("function_call_output")]
    | Annotated[_CustomCall, Tag("custom_tool_call")]
    | Annotated[_CustomOutput, Tag("custom_tool_call_output")]
    | Annotated[_ReasoningItem, Tag("reasoning")],
    Discriminator(_item_type),
]


class _FunctionTool(Fields):
    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class _CustomTool(Fields):
    type: Literal["custom"]
    name: str
    description: str | None = None
    format: JsonObject | None = None


class _ToolChoice(Fields):
    type: Literal["function", "custom"]
    name: str


class _Reasoning(Fields):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class _TextConfig(Fields):
    format: JsonObject | None = None
    verbosity: str | None = None


class _StreamOptions(Fields):
    include_obfuscation: bool | None = None


class ResponsesRequest(Asked):
    """What a Responses request may say."""

    input: Annotated[_String | Annotated[list[_Item], Tag("list")], Discriminator(text_or_list)]
    background: Literal[False] | None = None
    include: list[Literal["reasoning.encrypted_content", "message.output_text.logprobs"]] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    parallel_tool_calls: bool | None = None
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    reasoning: _Reasoning | None = None
    store: bool | None = None
    stream_options: _StreamOptions | None = None
    text: _TextConfig | None = None
    tool_choice: str | _ToolChoice | None = None
    tools: list[Annotated[_FunctionTool | _CustomTool, Field(discriminator="type")]] | None = None
    top_logprobs: int | None = None
    truncation: str | None = None


_ENDS = ("response.completed", "response.incomplete", "response.failed")


class _ResponsesAssembler(Assembler):
    def __init__(self) -> None:
        super().__init__()
        self._response: JsonObject = {"object": "response"}
        self._items: dict[int, JsonObject] = {}

    @override
    def add(self, event: JsonObject) -> None:
        kind, index, whole = event.get("type"), event.get("output_index"), as_object(event.get("response"))
        if whole:
            self._response = whole
            self.is_complete = kind in _ENDS
        if isinstance(index, int):
            self._add_to_item(index, str(kind), event)

    @override
    def _body(self) -> JsonObject:
        items = [self._items[index] for index in sorted(self._items)]
        return {**self._response, "output": as_list(self._response.get("output")) or items}

    def _add_to_item(self, index: int, kind: str, event: JsonObject) -> None:
        if kind in ("response.output_item.added", "response.output_item.done"):
            self._items[index] = dict(as_object(event.get("item")))
            return
        item = self._items.setdefault(index, {})
        if kind == "response.function_call_arguments.delta":
            append_text(item, "arguments", event.get("delta"))
        elif kind == "response.custom_tool_call_input.delta":
            append_text(item, "input", event.get("delta"))
        elif kind in _PARTS:
            field, part_type, index_field = _PARTS[kind]
            text_field = "refusal" if part_type == "refusal" else "text"
            append_text(_part(item, field, event.get(index_field), part_type), text_field, event.get("delta"))


_PARTS = {
    "response.output_text.delta": ("content", "output_text", "content_index"),
    "response.refusal.delta": ("content", "refusal", "content_index"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "content_index"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "summary_index"),
}
"""Delta event -> (field of the item, type of the part, field that says which part)."""

_PARTS_LIMIT = 1000


def _part(item: JsonObject, field: str, index: object, part_type: str) -> JsonObject:
    parts = as_list(item.get(field))
    item[field] = parts
    wanted = min(as_count(index), _PARTS_LIMIT)
    while len(parts) <= wanted:
        parts.append({"type": part_type})
    return as_object(parts[wanted])


_PROVIDER_CODES = ("server_error", "rate_limit_exceeded")


class ResponsesApi(Api):
    """OpenAI Responses."""

    name = "responses"
    path = "/openai/v1/responses"
    upstream_path = "/responses"
    request = ResponsesRequest
    effort_path = ("reasoning", "effort")
    limit_fields: ClassVar[tuple[str, ...]] = ("max_output_tokens",)
    seed_providers: ClassVar[tuple[str, ...]] = ("local",)

    @override
    def own_ids(self, body: JsonObject) -> set[str]:
        """Return the earlier response, and the reasoning items that the provider would look up by their id alone."""
        items = [as_object(item) for item in as_list(body.get("input"))]
        looked_up = {
            str(item["id"])
            for item in items
            if item.get("type") == "reasoning" and item.get("id") and not item.get("encrypted_content")
        }
        return looked_up | ({body["previous_response_id"]} if body.get("previous_response_id") else set())

    @override
    def made_ids(self, answer: JsonObject) -> set[str]:
        items = [as_object(item) for item in as_list(answer.get("output"))]
        found = [answer.get("id"), *(item.get("id") for item in items)]
        return {identifier for identifier in found if isinstance(identifier, str)}

    @override
    def tokens(self, answer: JsonObject) -> Tokens | None:
        usage = as_object(answer.get("usage"))
        if not usage:
            return None
        details = as_object(usage.get("input_tokens_details"))
        return Tokens(
            prompt=as_count(usage.get("input_tokens")),
            completion=as_count(usage.get("output_tokens")),
            cached=as_count(details.get("cached_tokens")),
            cache_written=as_count(details.get("cache_write_tokens")),
        )

    @override
    def is_answer(self, body: JsonObject) -> bool:
        return isinstance(body.get("output"), list) and isinstance(body.get("id"), str)

    @override
    def problem(self, event: JsonObject) -> str:
        """Return the provider's own failure; a response that failed for what it was asked is an answer."""
        if event.get("type") == "error":
            return str(event.get("message") or super().problem(event) or "error")
        error = as_object((as_object(event.get("response")) or event).get("error"))
        return str(error.get("message") or error) if error.get("code") in _PROVIDER_CODES else ""

    @override
    def assembler(self) -> Assembler:
        return _ResponsesAssembler()

    @override
    def error(self, code: str, message: str, status: int) -> JsonObject:
        return openai_error(code, message, status)

    @override
    def error_event(self, code: str, message: str) -> tuple[str, JsonObject]:
        plain: JsonObject = {"type": "error", "code": code, "message": message, "param": None, "sequence_number": 0}
        return "error", {**plain, **openai_error(code, message, 500)}
