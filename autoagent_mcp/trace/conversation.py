"""Requests to a model, put together to conversations.

A request carries its whole history, so each one repeats the one before it. A conversation goes on where a request
begins with what an earlier one said; where it does not, a sub-agent speaks.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from autoagent_mcp.models.records import ModelRequest, ModelResponse
from autoagent_mcp.models.trial import Usage
from autoagent_mcp.trace import wire
from autoagent_mcp.trace.step import Result, Step
from autoagent_mcp.trace.wire import Asked, Item, JsonObject

_HEAD_START = timedelta(milliseconds=100)
"""A harness may act on the end of a stream before the gateway has closed its books on it."""
UNANSWERED = "The call was under way when the trial ended; no answer came."


@dataclass
class Conversation:
    """Requests that continue one another, and the steps that they tell of."""

    system: str
    base: int
    """How many items its first request had."""
    path: list[Item] = field(default_factory=list[Item])
    """What its last request carried, and the answer to it."""
    asked: int = 0
    """How many of these the request carried."""
    seen: set[Item] = field(default_factory=set[Item])
    steps: list[Step] = field(default_factory=list[Step])
    tools: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    usage: Usage = field(default_factory=Usage)
    _waiting: dict[str, list[tuple[Step, str]]] = field(default_factory=dict[str, list[tuple[Step, str]]])
    """By the id of a tool call: where its result belongs, the latest last."""

    @property
    def first_user(self) -> str:
        """The text of its first message by a user."""
        return next((step.message for step in self.steps if step.source == "user"), "")

    def unseen(self, items: Sequence[Item]) -> list[Item]:
        """Of a history that was written anew, what was not said before; results only of calls that wait for one."""
        return [
            item for item in items if item not in self.seen and (item.kind != "result" or self._waiting.get(item.id))
        ]

    def after_answer(self, items: Sequence[Item]) -> list[Item]:
        """Leave out the model's own answer; where the harness changed its words, note that at its step."""
        start = next((index for index, item in enumerate(items) if item.kind not in ("agent", "call")), len(items))
        changed = [item for item in items[:start] if item not in self.seen]
        last = self.steps[-1] if self.steps else None
        if changed and changed[0].kind == "agent" and last is not None and last.model_calls:
            last.extra["put_in_history_as"] = changed[0].text
            changed = changed[1:]
        return [*changed, *items[start:]]

    def tell(self, items: Sequence[Item], at: datetime) -> None:
        """Add what a request says that was not said before."""
        speech: Step | None = None
        for item in items:
            if item.kind in ("agent", "call"):
                speech = self._tell_speech(item, speech, at)
                continue
            speech = None
            if item.kind == "result":
                self._tell_result(item, at)
            else:
                self.steps.append(Step("system" if item.kind == "system" else "user", item.text, at))

    def _tell_speech(self, item: Item, speech: Step | None, at: datetime) -> Step:
        """Add what the harness says in the agent's name: examples, or a history that it brought along."""
        if speech is None or (item.kind == "agent" and speech.calls):
            speech = Step("agent", at=at, model_calls=0)
            self.steps.append(speech)
        if item.kind == "call":
            self.wait_for(speech, item, speech.add_call(item))
        else:
            speech.message = f"{speech.message}\n{item.text}" if speech.message else item.text
        return speech

    def _tell_result(self, item: Item, at: datetime) -> None:
        places = self._waiting.get(item.id)
        if places:
            step, own = places.pop()
            step.results.append(Result(item.text, own))
        else:
            self.steps.append(Step("user", item.text, at, extra={"tool_call_id": item.id}))

    def wait_for(self, step: Step, call: Item, own: str) -> None:
        """Remember where the result of a call belongs."""
        self._waiting.setdefault(call.id, []).append((step, own))


class _Place(NamedTuple):
    """Where a request belongs."""

    conversation: Conversation
    items: list[Item]
    """All that the request carries, with what came before `previous_response_id`."""
    common: int
    """How many of these are known from before."""


@dataclass
class _Call:
    """A call under way."""

    conversation: Conversation
    step: Step
    items: list[Item]
    request: ModelRequest


class Conversations:
    """All conversations of a trial's step; the first is the main one.

    Args:
        instruction: What the step asks for.
        step: Its name, which stands before the names of sub-agents; "" where the task has only one.
    """

    def __init__(self, instruction: str, step: str = "") -> None:
        self._sub_agent = f"{step}-subagent" if step else "subagent"
        self.all: list[Conversation] = []
        self._instruction = instruction.strip()
        self._calls: dict[int, _Call] = {}
        self._answers: dict[str, tuple[Conversation, list[Item]]] = {}

    def name_of(self, number: int) -> str:
        """Return what a sub-agent, counted from 1, is called."""
        return f"{self._sub_agent}-{number}"

    def ask(self, request: ModelRequest) -> None:
        """Take in a request."""
        asked = wire.read_request(request.api, request.body)
        place = self._continued(asked) or self._rewritten(asked) or self._begun(asked)
        conversation, items, common = place
        is_rewritten = common < conversation.asked
        fresh = conversation.unseen(items[common:]) if is_rewritten else conversation.after_answer(items[common:])
        _tell_system(conversation, asked.system, request.at)
        conversation.tell(fresh, request.at)
        step = Step("agent", at=request.at, model_calls=1, effort=asked.effort, extra={"model_call": request.call})
        step.message, step.extra["error"] = f"[{UNANSWERED}]", UNANSWERED
        if is_rewritten:
            step.extra["history_rewritten"] = f"{conversation.asked - common} earlier items are gone or changed."
        conversation.steps.append(step)
        conversation.seen.update(items[common:])
        conversation.path, conversation.asked = items, len(items)
        conversation.tools.update({_tool_name(tool): tool for tool in asked.tools})
        self._calls[request.call] = _Call(conversation, step, items, request)

    def answer(self, response: ModelResponse) -> bool:
        """Take in a response; tell whether its request is known."""
        call = self._calls.pop(response.call, None)
        if call is None:
            return False
        body = response.body or {}
        reply = wire.read_reply(call.request.api, body)
        conversation, step = call.conversation, call.step
        del step.extra["error"]
        step.take(reply)
        step.at, step.usage = response.at, response.usage
        step.acts_from = max(call.request.at, response.at - _HEAD_START)
        step.extra["duration_sec"] = round((response.at - call.request.at).total_seconds(), 3)
        _note_error(step, response, wire.read_error(body))
        for own, item in step.calls.items():
            conversation.wait_for(step, item, own)
        conversation.usage += response.usage
        conversation.seen.update(reply.items)
        whole = [*call.items, *reply.items]
        if conversation.path is call.items:
            conversation.path = whole
        if reply.id:
            self._answers[reply.id] = (conversation, whole)
        return True

    def _continued(self, asked: Asked) -> _Place | None:
        """Find the conversation that the request goes on with, by what it repeats."""
        if asked.previous in self._answers:
            conversation, before = self._answers[asked.previous]
            return _Place(conversation, [*before, *asked.items], _common(conversation.path, before))
        best: _Place | None = None
        for conversation in self.all:
            common = _common(conversation.path, asked.items)
            goes_on = common >= conversation.base and (
                common > conversation.base or _is_similar(conversation.system, asked.system)
            )
            if goes_on and (best is None or common >= best.common):
                best = _Place(conversation, asked.items, common)
        return best

    def _rewritten(self, asked: Asked) -> _Place | None:
        """Find the conversation whose history the harness wrote anew, for example to make it shorter."""
        said = [item.text for item in asked.items if item.kind == "user"]
        for conversation in reversed(self.all):
            repeats = any(item in conversation.seen for item in asked.items if item.kind != "user")
            if _is_similar(conversation.system, asked.system) and (repeats or self._is_about(conversation, said)):
                return _Place(conversation, asked.items, _common(conversation.path, asked.items))
        return None

    def _is_about(self, conversation: Conversation, said: Iterable[str]) -> bool:
        first = conversation.first_user
        topics = [topic for topic in (first, self._instruction if self._instruction in first else "") if topic]
        return any(topic in text for text in said for topic in topics)

    def _begun(self, asked: Asked) -> _Place:
        conversation = Conversation(system="", base=len(asked.items))
        if self.all:
            began = next(step for step in reversed(self.all[0].steps) if step.model_calls)
            began.subagents.append(self.name_of(len(self.all)))
        self.all.append(conversation)
        return _Place(conversation, asked.items, 0)


def _common(one: Sequence[Item], other: Sequence[Item]) -> int:
    """How many items two histories have in common at their beginning."""
    for index, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return index
    return min(len(one), len(other))


def _is_similar(one: str, other: str) -> bool:
    """Whether two system prompts are one, or the same with some state filled in or added."""
    return one == other or _shared(one, other) + _shared(one[::-1], other[::-1]) >= max(
        1, 0.9 * min(len(one), len(other))
    )


def _shared(one: str, other: str) -> int:
    return len(os.path.commonprefix([one, other]))  # noqa: RUF071 - character by character is what is wanted


def _tell_system(conversation: Conversation, system: str, at: datetime) -> None:
    if system != conversation.system:
        conversation.steps.append(Step("system", system, at))
        conversation.system = system


def _note_error(step: Step, response: ModelResponse, said: str) -> None:
    parts = [f"HTTP {response.status}" if response.status and response.status >= 400 else "", response.error, said]  # noqa: PLR2004
    error = ": ".join(dict.fromkeys(part for part in parts if part))
    if not error and response.body is None:
        error = "No answer came."
    elif not error and not response.complete:
        error = "The answer broke off."
    if error:
        step.extra["error"] = error
        step.message = step.message or f"[{error}]"


def _tool_name(tool: JsonObject) -> str:
    return str(tool["function"].get("name"))
