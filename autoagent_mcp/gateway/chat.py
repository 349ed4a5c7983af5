"""OpenAI Chat Completions.

Format: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

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


class _Text(Fields):
    type: Literal["text"]
    text: str


class _Refusal(Fields):
    type: Literal["refusal"]
    refusal: str


class _ImageUrl(Fields):
    url: InlineUrl
    detail: str | None = None


class _Image(Fields):
    type: Literal["image_url"]
    image_url: _ImageUrl


class _AudioData(Fields):
    data: str
    format: str


class _Audio(Fields):
    type: Literal["input_audio"]
    input_audio: _AudioData


_String = Annotated[str, Tag("text")]
_UserPart = Annotated[_Text | _Image | _Audio, Field(discriminator="type")]
_AssistantPart = Annotated[_Text | _Refusal, Field(discriminator="type")]
_Texts = Annotated[_String | Annotated[list[_Text], Tag("list")], Discriminator(text_or_list)]
_UserContent = Annotated[_String | Annotated[list[_UserPart], Tag("list")], Discriminator(text_or_list)]
_AssistantContent = Annotated[_String | Annotated[list[_AssistantPart], Tag("list")], Discriminator(text_or_list)]


class _System(Fields):
    role: Literal["system", "developer"]
    content: _Texts
    name: str | None = None


class _User(Fields):
    role: Literal["user"]
    content: _UserContent
    name: str | None = None


class _Called(Fields):
    name: str
    arguments: str


class _FunctionCall(Fields):
    id: str
    type: Literal["function"]
    function: _Called
    index: int | None = None


class _CustomCalled(Fields):
    name: str
    input: str


class _CustomCall(Fields):
    id: str
    type: Literal["custom"]
    custom: _CustomCalled


class _Assistant(Fields):
    role: Literal["assistant"]
    content: _AssistantContent | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[Annotated[_FunctionCall | _CustomCall, Field(discriminator="type")]] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    annotations: list[JsonObject] | None = None
    audio: None = None
    function_call: None = None


class _ToolResult(Fields):
    role: Literal["tool"]
    content: _Texts
    tool_call_id: str
    name: str | None = None


class _Function(Fields):
    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class _FunctionTool(Fields):
    type: Literal["function"]
    function: _Function


class _Custom(Fields):
    name: str
    description: str | None = None
    format: JsonObject | None = None


class _CustomTool(Fields):
    type: Literal["custom"]
    custom: _Custom


class _Named(Fields):
    name: str


class _FunctionChoice(Fields):
    type: Literal["function"]
    function: _Named


class _CustomChoice(Fields):
    type: Literal["custom"]
    custom: _Named


class _StreamOptions(Fields):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(Asked):
    """What a Chat Completions request may say."""

    messages: list[Annotated[_System | _User | _Assistant | _ToolResult, Field(discriminator="role")]]
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    n: Literal[1] | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: float | None = None
    prompt_cache_key: str | None = None
    reasoning_effort: str | None = None
    response_format: JsonObject | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    store: Literal[False] | None = None
    stream_options: _StreamOptions | None = None
    tool_choice: str | _FunctionChoice | _CustomChoice | None = None
    tools: list[Annotated[_FunctionTool | _CustomTool, Field(discriminator="type")]] | None = None
    top_logprobs: int | None = None
    verbosity: str | None = None


class _ChatAssembler(Assembler):
    def __init__(self) -> None:
        super().__init__()
        self._head: JsonObject = {"object": "chat.completion"}
        self._choices: dict[int, JsonObject] = {}
        self._calls: dict[tuple[int, int], JsonObject] = {}

    @override
    def add(self, event: JsonObject) -> None:
        for field in ("id", "created", "model", "service_tier", "usage"):
            if event.get(field):
                self._head[field] = event[field]
        for piece in as_list(event.get("choices")):
            self._add_choice(as_object(piece))

    @override
    def _body(self) -> JsonObject:
        return {**self._head, "choices": [self._choices[index] for index in sorted(self._choices)]}

    def _add_choice(self, piece: JsonObject) -> None:
        index = as_count(piece.get("index"))
        fresh: JsonObject = {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
        choice = self._choices.setdefault(index, fresh)
        message, delta = choice["message"], as_object(piece.get("delta"))
        for field in ("content", "refusal", "reasoning_content", "reasoning"):
            append_text(message, field, delta.get(field))
        for call in as_list(delta.get("tool_calls")):
            self._add_tool_call(index, message, as_object(call))
        if piece.get("finish_reason"):
            choice["finish_reason"] = piece["finish_reason"]
            self.is_complete = True

    def _add_tool_call(self, choice: int, message: JsonObject, piece: JsonObject) -> None:
        place = choice, as_count(piece.get("index"))
        if place not in self._calls:
            self._calls[place] = {"id": "", "type": "function", "function": {}}
            message.setdefault("tool_calls", []).append(self._calls[place])
        call, delta = self._calls[place], as_object(piece.get("function"))
        call["id"] = piece.get("id") or call["id"]
        append_text(call["function"], "name", delta.get("name"))
        append_text(call["function"], "arguments", delta.get("arguments"))


def openai_error(code: str, message: str, status: int) -> JsonObject:
    """Return an error as OpenAI writes it."""
    kind = "invalid_request_error" if status < 500 else "server_error"  # noqa: PLR2004 - HTTP's own border
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


class ChatApi(Api):
    """OpenAI Chat Completions."""

    name = "chat"
    path = "/openai/v1/chat/completions"
    upstream_path = "/chat/completions"
    request = ChatRequest
    effort_path = ("reasoning_effort",)
    limit_fields: ClassVar[tuple[str, ...]] = ("max_completion_tokens", "max_tokens")
    seed_providers: ClassVar[tuple[str, ...]] = ("openai", "openai-compatible", "local")

    @override
    def own_ids(self, body: JsonObject) -> set[str]:
        return set()

    @override
    def made_ids(self, answer: JsonObject) -> set[str]:
        return set()

    @override
    def tokens(self, answer: JsonObject) -> Tokens | None:
        usage = as_object(answer.get("usage"))
        if not usage:
            return None
        details = as_object(usage.get("prompt_tokens_details"))
        return Tokens(
            prompt=as_count(usage.get("prompt_tokens")),
            completion=as_count(usage.get("completion_tokens")),
            cached=as_count(details.get("cached_tokens")),
            cache_written=as_count(details.get("cache_write_tokens")),
        )

    @override
    def is_answer(self, body: JsonObject) -> bool:
        choices: list[Any] = as_list(body.get("choices"))
        return bool(choices) and all(as_object(as_object(choice).get("message")) for choice in choices)

    @override
    def ask_for_usage(self, body: JsonObject) -> bool:
        if not body.get("stream"):
            return True
        options = as_object(body.get("stream_options"))
        body["stream_options"] = {**options, "include_usage": True}
        return bool(options.get("include_usage"))

    @override
    def is_only_usage(self, event: JsonObject) -> bool:
        return bool(event.get("usage")) and not event.get("choices")

    @override
    def assembler(self) -> Assembler:
        return _ChatAssembler()

    @override
    def error(self, code: str, message: str, status: int) -> JsonObject:
        return openai_error(code, message, status)
