"""The rules of ATIF-v1.8 as harbor 0.25 checks them (`harbor.models.trajectories`), for a Python without Harbor."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Source(_Strict):
    media_type: str
    path: str
    duration_sec: float | None = None


class ContentPart(_Strict):
    """A piece of a message."""

    type: Literal["text", "image", "audio"]
    text: str | None = None
    source: _Source | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        assert (self.text is not None) == (self.type == "text")
        assert (self.source is not None) == (self.type != "text")
        return self


Content = str | list[ContentPart]


class SubagentRef(_Strict):
    """Names another trajectory."""

    trajectory_id: str | None = None
    session_id: str | None = None
    trajectory_path: str | None = None
    extra: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _can_be_resolved(self) -> Self:
        assert self.trajectory_id is not None or self.trajectory_path is not None
        return self


class Result(_Strict):
    """What an action gave."""

    source_call_id: str | None = None
    content: Content | None = None
    subagent_trajectory_ref: list[SubagentRef] | None = None
    extra: dict[str, Any] | None = None


class Observation(_Strict):
    """What a step's actions gave."""

    results: list[Result]


class ToolCall(_Strict):
    """An action."""

    tool_call_id: str
    function_name: str
    arguments: dict[str, Any]
    extra: dict[str, Any] | None = None


class Metrics(_Strict):
    """What a call took."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    prompt_token_ids: list[int] | None = None
    completion_token_ids: list[int] | None = None
    logprobs: list[float] | None = None
    extra: dict[str, Any] | None = None


class Step(_Strict):
    """A step."""

    step_id: Annotated[int, Field(ge=1)]
    timestamp: str | None = None
    source: Literal["system", "user", "agent"]
    model_name: str | None = None
    reasoning_effort: str | float | None = None
    message: Content
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    observation: Observation | None = None
    metrics: Metrics | None = None
    is_copied_context: bool | None = None
    llm_call_count: Annotated[int, Field(ge=0)] | None = None
    extra: dict[str, Any] | None = None

    @field_validator("timestamp")
    @classmethod
    def _is_iso_8601(cls, value: str | None) -> str | None:
        if value is not None:
            datetime.fromisoformat(value)
        return value

    @model_validator(mode="after")
    def _only_agents_think_and_act(self) -> Self:
        if self.source != "agent":
            agents = (self.model_name, self.reasoning_effort, self.reasoning_content, self.tool_calls, self.metrics)
            assert agents == (None,) * 5
        elif self.llm_call_count == 0:
            assert self.metrics is None
            assert self.reasoning_content is None
        return self

    @model_validator(mode="after")
    def _results_name_calls_of_this_step(self) -> Self:
        own = {call.tool_call_id for call in self.tool_calls or []}
        assert len(own) == len(self.tool_calls or [])
        for result in self.observation.results if self.observation else []:
            assert result.source_call_id is None or result.source_call_id in own
        return self


class Agent(_Strict):
    """Who acted."""

    name: str
    version: str
    model_name: str | None = None
    tool_definitions: list[dict[str, Any]] | None = None
    extra: dict[str, Any] | None = None


class FinalMetrics(_Strict):
    """Sums."""

    total_prompt_tokens: int | None = None
    total_completion_tokens: int | None = None
    total_cached_tokens: int | None = None
    total_cost_usd: float | None = None
    total_steps: Annotated[int, Field(ge=0)] | None = None
    extra: dict[str, Any] | None = None


class Trajectory(_Strict):
    """A trajectory, with those of its sub-agents."""

    schema_version: Literal["ATIF-v1.8"]
    session_id: str | None = None
    trajectory_id: str | None = None
    agent: Agent
    steps: Annotated[list[Step], Field(min_length=1)]
    notes: str | None = None
    final_metrics: FinalMetrics | None = None
    continued_trajectory_ref: str | None = None
    extra: dict[str, Any] | None = None
    subagent_trajectories: list[Trajectory] | None = None

    @model_validator(mode="after")
    def _steps_count_from_1(self) -> Self:
        assert [step.step_id for step in self.steps] == list(range(1, len(self.steps) + 1))
        assert self.final_metrics is None or self.final_metrics.total_steps in (None, len(self.steps))
        return self

    @model_validator(mode="after")
    def _references_resolve(self) -> Self:
        ids = [one.trajectory_id for one in self.subagent_trajectories or []]
        assert None not in ids
        assert len(set(ids)) == len(ids)
        results = [one for step in self.steps if step.observation for one in step.observation.results]
        refs = [ref for one in results for ref in one.subagent_trajectory_ref or []]
        assert {ref.trajectory_id for ref in refs} == set(ids)
        return self
