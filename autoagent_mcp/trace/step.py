"""A step of a trajectory while it is put together, and ATIF's form of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from autoagent_mcp.models.trial import Usage
from autoagent_mcp.trace.wire import Item, JsonObject, Reply


@dataclass
class Result:
    """What an action gave."""

    content: str | None
    source_call_id: str | None = None
    subagents: list[str] = field(default_factory=list[str])
    extra: JsonObject = field(default_factory=dict[str, Any])

    def to_atif(self) -> JsonObject:
        """Write it as ATIF does."""
        refs = [{"trajectory_id": one} for one in self.subagents]
        result = _without_empty(source_call_id=self.source_call_id, subagent_trajectory_ref=refs, extra=self.extra)
        return result if self.content is None else {**result, "content": self.content}


@dataclass
class Step:
    """A message of the system, of a user or of the agent, with what the agent did and what came of it."""

    source: Literal["system", "user", "agent"]
    message: str = ""
    at: datetime | None = None
    """When it was said: for a model call, when its answer was there."""
    acts_from: datetime | None = None
    """For a model call that was answered: from when on a command may follow from it."""
    model_calls: int | None = None
    """1 for a call, 0 for what the harness put into the agent's mouth; None where the agent is not speaking."""
    model: str = ""
    effort: str = ""
    reasoning: str = ""
    calls: dict[str, Item] = field(default_factory=dict[str, Item])
    """Tool calls by ids that differ within the step."""
    results: list[Result] = field(default_factory=list[Result])
    subagents: list[str] = field(default_factory=list[str])
    """Trajectories that began here."""
    usage: Usage | None = None
    extra: JsonObject = field(default_factory=dict[str, Any])

    def take(self, reply: Reply) -> None:
        """Fill in what the model answered."""
        self.message, self.reasoning, self.model = reply.text, reply.reasoning, reply.model
        for call in reply.calls:
            self.add_call(call)
        if reply.finish:
            self.extra["finish_reason"] = reply.finish

    def add_call(self, call: Item) -> str:
        """Add a tool call and return its id within this step."""
        own = call.id or "call"
        if own in self.calls:
            own = f"{own}#{len(self.calls) + 1}"
        while own in self.calls:
            own += "'"
        self.calls[own] = call
        return own

    def to_atif(self, step_id: int, default_model: str) -> JsonObject:
        """Write it as ATIF does; what is not known is left out."""
        step = _without_empty(
            step_id=step_id,
            timestamp=self.at.isoformat() if self.at else None,
            source=self.source,
            model_name=self.model if self.model != default_model else None,
            reasoning_effort=self.effort,
            reasoning_content=self.reasoning,
            tool_calls=[_call_to_atif(own, call) for own, call in self.calls.items()],
            observation=_without_empty(results=[one.to_atif() for one in self._results()]),
            metrics=_metrics(self.usage),
            llm_call_count=self.model_calls,
            extra=self.extra,
        )
        return {**step, "message": self.message}

    def _results(self) -> list[Result]:
        """The results, and where a sub-agent began that no single call accounts for, a result of its own for it."""
        if not self.subagents:
            return self.results
        if len(self.calls) != 1:
            return [*self.results, Result(None, subagents=self.subagents)]
        own = next(iter(self.calls))
        mine = next((one for one in self.results if one.source_call_id == own), Result(None, own))
        rest = [one for one in self.results if one is not mine]
        return [Result(mine.content, own, self.subagents, mine.extra), *rest]


def _call_to_atif(own: str, call: Item) -> JsonObject:
    return {"tool_call_id": own, "function_name": call.name, "arguments": call.arguments}


def _metrics(usage: Usage | None) -> JsonObject:
    if usage is None or not usage.prompt_tokens + usage.completion_tokens:
        return {}
    return _without_none(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        cost_usd=usage.cost_usd,
    )


def _without_none(**fields: object) -> JsonObject:
    return {key: value for key, value in fields.items() if value is not None}


def _without_empty(**fields: object) -> JsonObject:
    return {key: value for key, value in fields.items() if value not in (None, "", [], {})}
