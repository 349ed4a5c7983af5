"""Read what happened in a trial."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import anyio
from pydantic import Field

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.trial import Trial, TrialFiles
from autoagent_mcp.tools.boundary import ToolContext, lab_of, speaks_mcp
from autoagent_mcp.tools.text import DATA_NOTE, clean, clip

FIELD_CHARS = 1_500
STEPS_CHARS = 5_500
WHOLE_STEP_CHARS = 7_000
OUTPUT_CHARS = 1_200
NO_REASONING = "No reasoning came from this model in this trial."

_disk = anyio.CapacityLimiter(4)


class StepView(Frozen):
    """One step of a trace."""

    step: int
    source: str
    at: str = ""
    message: str = ""
    reasoning: str = ""
    tool_calls: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    error: str = ""


class TraceView(Frozen):
    """A page of a trace."""

    run: str
    trial: str
    task: str
    reward: float | None
    passed: bool
    failure: str
    steps: tuple[StepView, ...]
    verifier_output: str = ""
    """The end of what the tests printed, of several steps the last one's; on the first page."""
    harness_output: str = ""
    """The end of what agent.py printed, and its traceback, of several steps the last one's; on the first page."""
    page: int
    pages: int
    notices: tuple[str, ...] = ()
    """What the server refused or overruled in this trial."""
    note: str = DATA_NOTE
    next: str


@speaks_mcp
async def read_trace(
    ctx: ToolContext,
    run: str,
    trial: str,
    page: Annotated[int, Field(ge=1)] = 1,
    step: Annotated[int, Field(ge=1)] | None = None,
) -> TraceView:
    """Read one trial step by step: reasoning, tool calls, their results, errors, verifier output.

    Long fields are cut in the middle; `step` shows a single step in full, paged. Pages count from 1. There is a trace
    of every trial, also of one that crashed, ran out of time or was killed.
    """
    lab = await lab_of(ctx)
    found, files = await lab.trial(run, trial)
    trajectory = await anyio.to_thread.run_sync(_read, files, limiter=_disk)
    if step is not None:
        return _whole_step(run, found, trajectory, step, page)
    return await anyio.to_thread.run_sync(_page, run, found, files, trajectory, page, limiter=_disk)


def _read(files: TrialFiles) -> dict[str, Any]:
    return json.loads(files.trajectory.read_bytes())


def _page(run: str, trial: Trial, files: TrialFiles, trajectory: dict[str, Any], page: int) -> TraceView:
    steps = _all_steps(trajectory)
    pages = _paged([_fitting(number, step) for number, step in enumerate(steps, 1)])
    shown = pages[min(page, len(pages)) - 1]
    is_first = page == 1
    ended = files.step(trial.steps[-1].name) if trial.steps else files
    following = f'Call read_trace(run="{run}", trial="{trial.id}", page={page + 1}) for more.'
    return _view(
        run,
        trial,
        steps=tuple(shown),
        verifier_output=_tail(ended.verifier / "test-stdout.txt") if is_first else "",
        harness_output=_tail(ended.harness_log) if is_first else "",
        note=DATA_NOTE if any("reasoning_content" in step for step in steps) else f"{DATA_NOTE} {NO_REASONING}",
        page=min(page, len(pages)),
        pages=len(pages),
        next=following
        if page < len(pages)
        else "Form a hypothesis that helps more than this task, then edit agent.py.",
    )


def _whole_step(run: str, trial: Trial, trajectory: dict[str, Any], step: int, page: int) -> TraceView:
    steps = _all_steps(trajectory)
    number = min(step, len(steps))
    text = clean(json.dumps(steps[number - 1], indent=1, ensure_ascii=False))
    pages = max(1, -(-len(text) // WHOLE_STEP_CHARS))
    page = min(page, pages)
    part = text[(page - 1) * WHOLE_STEP_CHARS : page * WHOLE_STEP_CHARS]
    view = StepView(step=number, source=str(steps[number - 1].get("source", "")), message=part)
    return _view(run, trial, steps=(view,), page=page, pages=pages, next="Call read_trace without `step` for the rest.")


def _view(run: str, trial: Trial, **rest: Any) -> TraceView:  # noqa: ANN401 - the remaining fields of TraceView
    failure = f"{trial.failure.cause.value}: {clip(trial.failure.detail, 600)}" if trial.failure else ""
    head = {"run": run, "trial": trial.id, "task": trial.task, "reward": trial.reward, "passed": trial.passed}
    notices = tuple(clip(notice, 200) for notice in trial.notices[:5])
    return TraceView(**head, failure=failure, notices=notices, **rest)


def _all_steps(trajectory: dict[str, Any]) -> list[dict[str, Any]]:
    """The main conversation's steps and then those of each sub-agent, which say where they come from."""
    steps = list(trajectory["steps"])
    for sub in trajectory.get("subagent_trajectories") or ():
        steps += [{**step, "source": f"{step.get('source')} ({sub.get('trajectory_id')})"} for step in sub["steps"]]
    return steps


def _fitting(number: int, step: dict[str, Any]) -> StepView:
    """Show a step with as much of its long fields as a page can hold."""
    for limit in (FIELD_CHARS, FIELD_CHARS // 3, FIELD_CHARS // 10):
        view = _step_view(number, step, limit)
        if len(view.model_dump_json(indent=2)) <= STEPS_CHARS:
            break
    return view


def _step_view(number: int, step: dict[str, Any], limit: int) -> StepView:
    observation: dict[str, Any] = step.get("observation") or {}
    calls = step.get("tool_calls") or ()
    extra: dict[str, Any] = step.get("extra") or {}
    return StepView(
        step=number,
        source=str(step["source"]),
        at=str(step.get("timestamp") or ""),
        message=clip(_text(step.get("message")), limit),
        reasoning=clip(_text(step.get("reasoning_content")), limit),
        tool_calls=tuple(
            clip(f"{one['function_name']}({json.dumps(one['arguments'], ensure_ascii=False)})", limit)
            for one in calls[:8]
        ),
        results=tuple(clip(_text(one.get("content")), limit) for one in (observation.get("results") or ())[:8]),
        error=clip(_text(extra.get("error")), limit),
    )


def _text(content: Any) -> str:  # noqa: ANN401 - ATIF allows a text or a list of parts
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return json.dumps(content, ensure_ascii=False)


def _paged(steps: list[StepView]) -> list[list[StepView]]:
    pages: list[list[StepView]] = [[]]
    size = 0
    for step in steps:
        length = len(step.model_dump_json(indent=2))
        if pages[-1] and size + length > STEPS_CHARS:
            pages.append([])
            size = 0
        pages[-1].append(step)
        size += length
    return pages


def _tail(path: Path) -> str:
    """The last part of a file, where a traceback or a failed assertion stands."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4 * OUTPUT_CHARS))
        return clean(file.read().decode(errors="replace"))[-OUTPUT_CHARS:]
