"""What the three model APIs have in common: a list of allowed fields, pins, usage and errors.

A request is checked against a pydantic model that forbids every field it does not name, then sent on as it was read
with the pins laid over it. What is not named is refused by name, so nothing can be switched on that nobody thought of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple, cast

import pydantic_core
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from autoagent_mcp.config import ModelSettings
from autoagent_mcp.gateway.role import Role
from autoagent_mcp.models.records import Api as ApiName

JsonObject = dict[str, Any]

_QUOTE_LIMIT = 80
_SHORTEST_OUTPUT_TOKENS = 16
"""OpenAI's Responses takes no less."""

_NOT_ALLOWED = "is not allowed by autoagent-mcp"


class RefusedError(Exception):
    """A call that is answered here, with an error that the provider's own SDK shows and does not retry."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Fields(BaseModel):
    """Fields that are allowed; every other one is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


def _inline_only(url: str) -> str:
    if not url.startswith("data:"):
        raise pydantic_core.PydanticCustomError("not_allowed", "an input by URL")
    return url


InlineUrl = Annotated[str, AfterValidator(_inline_only)]
"""A `data:` URL: what another machine would have to fetch is refused."""


def text_or_list(value: object) -> str:
    """Tell which half of a "string or list of parts" a value is, so that an error names the right part."""
    return "list" if isinstance(value, list) else "text"


class Asked(Fields):
    """What every request may say."""

    model: str
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    service_tier: str | None = None


class Tokens(NamedTuple):
    """What a call took."""

    prompt: int = 0
    """All of the prompt, with what came from a cache and what went into one."""
    completion: int = 0
    """With reasoning."""
    cached: int = 0
    cache_written: int = 0


class _Pieces(list[str]):
    """A text that is still coming in: joined once at the end, since appending to a long string copies it each time."""


def append_text(target: JsonObject, field: str, piece: object) -> None:
    """Append a delta's text to a field."""
    if not isinstance(piece, str):
        return
    known = target.get(field)
    if isinstance(known, _Pieces):
        known.append(piece)
    else:
        target[field] = _Pieces([known, piece] if isinstance(known, str) else [piece])


def _joined(value: object) -> object:
    if isinstance(value, _Pieces):
        return "".join(value)
    if isinstance(value, dict):
        return {key: _joined(item) for key, item in cast("JsonObject", value).items()}
    if isinstance(value, list):
        return [_joined(item) for item in cast("list[object]", value)]
    return value


class Assembler(ABC):
    """Puts a stream's events together to the object that the same call without streaming returns."""

    def __init__(self) -> None:
        self.is_complete = False
        """Whether the event that ends a stream of this API has come."""

    @abstractmethod
    def add(self, event: JsonObject) -> None:
        """Take in one event. It comes from the provider: any shape may come, and raises nothing."""

    @abstractmethod
    def _body(self) -> JsonObject:
        """Return what has come so far."""

    def whole(self) -> JsonObject:
        """Return what has come so far, its texts joined."""
        return as_object(_joined(self._body()))


class Api(ABC):
    """One of the provider APIs that the gateway speaks."""

    name: ClassVar[ApiName]
    path: ClassVar[str]
    """Where harnesses find it on the gateway."""
    upstream_path: ClassVar[str]
    """Where it lies below the provider's base URL."""
    request: ClassVar[type[Asked]]
    effort_path: ClassVar[tuple[str, ...]]
    limit_fields: ClassVar[tuple[str, ...]]
    """Fields that bound the answer's length; the first is set where the harness sets none."""
    seed_providers: ClassVar[tuple[str, ...]] = ()
    """Providers at which this API takes a seed."""

    @abstractmethod
    def own_ids(self, body: JsonObject) -> set[str]:
        """Return the ids of things kept by the provider that a request refers to."""

    @abstractmethod
    def made_ids(self, answer: JsonObject) -> set[str]:
        """Return the ids of things kept by the provider that an answer brings."""

    @abstractmethod
    def tokens(self, answer: JsonObject) -> Tokens | None:
        """Read an answer's usage; None where it has none."""

    @abstractmethod
    def is_answer(self, body: JsonObject) -> bool:
        """Tell whether this is an answer of this API at all."""

    @abstractmethod
    def assembler(self) -> Assembler:
        """Return what puts one stream together."""

    @abstractmethod
    def error(self, code: str, message: str, status: int) -> JsonObject:
        """Return an error as the provider would write it."""

    def error_event(self, code: str, message: str) -> tuple[str, JsonObject]:
        """Return the event (name and data) that ends a broken stream, so that the SDK raises."""
        return "error", self.error(code, message, 500)

    def problem(self, event: JsonObject) -> str:
        """Return what the provider says went wrong on its side, where an answer or event says so; else nothing."""
        error = as_object(event.get("error"))
        return str(error.get("message") or error) if error else ""

    def ask_for_usage(self, body: JsonObject) -> bool:  # noqa: ARG002 - for APIs that tell it only when asked
        """Have the provider tell the usage; return whether the harness expects to see it."""
        return True

    def is_only_usage(self, event: JsonObject) -> bool:  # noqa: ARG002 - see above
        """Tell whether an event carries nothing but the usage."""
        return False

    def read(self, raw: bytes) -> tuple[JsonObject, Asked]:
        """Check a request against the list of what is allowed.

        Raises:
            RefusedError: It is no JSON, or says something that is not allowed; names it.
        """
        try:
            body = pydantic_core.from_json(raw, allow_inf_nan=False)
        except ValueError as error:
            raise RefusedError(400, "invalid_json", f"The request's body is not valid JSON: {error}.") from error
        if not isinstance(body, dict):
            raise RefusedError(400, "invalid_json", "The request's body is not a JSON object.")
        body = cast("JsonObject", body)
        try:
            return body, self.request.model_validate(body)
        except ValidationError as error:
            raise _refusal(error, body) from error

    def pin(self, body: JsonObject, asked: Asked, model: ModelSettings, role: Role) -> list[str]:
        """Lay the pinned settings over a request; return a sentence for each wish that was overruled.

        Raises:
            RefusedError: The request is for another model, and the role's are not renamed.
        """
        pins: list[tuple[tuple[str, ...], str | float | None]] = [
            (self.effort_path, model.effort),
            (("service_tier",), model.service_tier),
        ]
        if model.temperature is not None:
            pins.append((("temperature",), model.temperature))
        if model.seed is not None:
            pins.append((("seed",), None))  # set once the call has its number
        if asked.model != model.name:
            if not role.is_renamed:
                text = f"model {_quoted(asked.model)} {_NOT_ALLOWED}; the pinned model is '{model.name}'"
                raise RefusedError(400, "model_not_allowed", text)
            pins.append((("model",), model.name))
        overruled = [_overrule(body, path, pinned, role.caller) for path, pinned in pins]
        return [sentence for sentence in overruled if sentence]

    def output_limit(self, body: JsonObject) -> int | None:
        """Return how long an answer the request allows; None where it does not say."""
        limits = [body[field] for field in self.limit_fields if body.get(field) is not None]
        return min(limits) if limits else None

    def least_output(self, body: JsonObject) -> int:  # noqa: ARG002 - for APIs that have such a bound
        """Return the smallest limit on the answer's length that the provider takes."""
        return _SHORTEST_OUTPUT_TOKENS

    def bound_output(self, body: JsonObject, tokens: int) -> None:
        """Lower what the request allows to `tokens`."""
        given = [field for field in self.limit_fields if body.get(field) is not None]
        for field in given or self.limit_fields[:1]:
            body[field] = min(tokens, body.get(field) or tokens)


def _overrule(body: JsonObject, path: tuple[str, ...], pinned: str | float | None, caller: str) -> str | None:
    """Set a field to what is pinned, or take it out where nothing is; tell if the caller had asked otherwise."""
    *parents, field = path
    place = body
    for parent in parents:
        if place.get(parent) is None and pinned is None:
            return None
        place[parent] = dict(place.get(parent) or {})
        place = place[parent]
    asked = place.pop(field, None)
    if pinned is not None:
        place[field] = pinned
    elif parents and not place:
        del body[parents[0]]
    if asked is None or asked == pinned:
        return None
    to = f"pinned to {pinned!r}" if pinned is not None else f"not the {caller}'s to choose"
    return f"The {caller} asked for {'.'.join(path)} {_quoted(asked)}; it is {to}."


def _refusal(error: ValidationError, body: JsonObject) -> RefusedError:
    """Turn the most telling complaint into a refusal that names the field."""
    details = error.errors(include_url=False, include_input=False)
    telling = ("extra_forbidden", "union_tag_invalid", "not_allowed", "literal_error", "none_required")
    detail = min(details, key=lambda item: telling.index(item["type"]) if item["type"] in telling else len(telling))
    place = _place(detail["loc"], body)
    if detail["type"] == "extra_forbidden":
        return RefusedError(400, "field_not_allowed", f"field '{place}' {_NOT_ALLOWED}")
    if detail["type"] == "union_tag_invalid":
        context = detail.get("ctx", {})
        tag, expected = _quoted(context.get("tag")), context.get("expected_tags")
        return RefusedError(400, "type_not_allowed", f"type {tag} at '{place}' {_NOT_ALLOWED} (allowed: {expected})")
    if detail["type"] == "not_allowed":
        return RefusedError(400, "input_not_allowed", f"{detail['msg']} at '{place}' {_NOT_ALLOWED}")
    if detail["type"] in ("literal_error", "none_required"):
        expected = detail.get("ctx", {}).get("expected", "null")
        return RefusedError(400, "value_not_allowed", f"the value of '{place}' {_NOT_ALLOWED} (allowed: {expected})")
    return RefusedError(400, "invalid_request", f"field '{place}': {detail['msg']}")


def _place(location: tuple[int | str, ...], body: JsonObject) -> str:
    """Write a location as `messages[0].content[1].url`, without the tags of unions that pydantic puts in between."""
    text, value, tag_may_come = "", cast("Any", body), False
    for index, step in enumerate(location):
        if isinstance(value, list) and isinstance(step, int):
            text += f"[{step}]"
            items = cast("list[Any]", value)
            value, tag_may_come = items[step] if step < len(items) else None, True
        elif isinstance(value, Mapping):
            fields = cast("Mapping[Any, Any]", value)
            is_tag = tag_may_come and step in (fields.get("type"), fields.get("role"))
            if not is_tag and (step in fields or index == len(location) - 1):
                text += f".{step}" if text else str(step)
                value = fields.get(step)
            tag_may_come = False
    return text[:200] or "body"


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _QUOTE_LIMIT else f"{text[:_QUOTE_LIMIT]}...'"


def as_object(value: object) -> JsonObject:
    """Return a JSON object, or an empty one where the provider sent something else."""
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return a JSON list, or an empty one where the provider sent something else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def as_count(value: object) -> int:
    """Return a count of tokens, or 0 where the provider sent something else."""
    return value if isinstance(value, int) and value > 0 else 0
