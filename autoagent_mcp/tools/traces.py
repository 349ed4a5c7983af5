"""Read what happened in a trial."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
from pydantic import Field

from autoagent_mcp.errors import LedgerError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.trial import Trial, TrialFiles
from autoagent_mcp.tools.boundary import ToolContext, lab_of, speaks_mcp
from autoagent_mcp.tools.text import DATA_NOTE, clean, clip, quote, size
from autoagent_mcp.trace.reading import all_steps, text_of

if TYPE_CHECKING:
    from autoagent_mcp.experiment.lab import Lab

FIELD_CHARS = 1_500
STEPS_CHARS = 4_000
WHOLE_STEP_CHARS = 5_500
OUTPUT_CHARS = 1_000
NO_REASONING = "No reasoning came from this model in this trial."
_SHOWN_CALLS = 8
_NOTICES_SHOWN = 3
_INDENT_CHARS = 6

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
    return await trace_view(await lab_of(ctx), run, trial, page, step)


async def trace_view(lab: Lab, run: str, trial: str, page: int, step: int | None = None) -> TraceView:
    """Show a page of a trace, or of one step of it.

    Raises:
        UnknownNameError, LedgerError: See `Lab.trial`.
    """
    found, files = await lab.trial(run, trial)
    if step is not None:
        return await anyio.to_thread.run_sync(_whole_step, run, found, files, step, page, limiter=_disk)
    return await anyio.to_thread.run_sync(_page, run, found, files, page, limiter=_disk)


def read_trajectory(files: TrialFiles) -> dict[str, Any]:
    """Read a trial's trace.

    Raises:
        LedgerError: It is broken, as after a full disk or an edit.
    """
    try:
        return json.loads(files.trajectory.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        problem = f"The trace {files.trajectory} cannot be read: {error}."
        raise LedgerError(problem, "Its score is in the ledger. Read another trial's, or measure again.") from error


def step_view(number: int, step: dict[str, Any], limit_chars: int, calls_shown: int = _SHOWN_CALLS) -> StepView:
    """Show a step with at most so much of each of its fields, and so many of its calls."""
    observation: dict[str, Any] = step.get("observation") or {}
    calls = step.get("tool_calls") or ()
    results = observation.get("results") or ()
    extra: dict[str, Any] = step.get("extra") or {}
    return StepView(
        step=number,
        source=clip(str(step["source"]), 100),
        at=clip(str(step.get("timestamp") or ""), 40),
        message=quote(text_of(step.get("message")), limit_chars),
        reasoning=quote(text_of(step.get("reasoning_content")), limit_chars),
        tool_calls=tuple(
            quote(f"{one['function_name']}({json.dumps(one['arguments'], ensure_ascii=False)})", limit_chars)
            for one in calls[:calls_shown]
        ),
        results=tuple(quote(_result_text(one), limit_chars) for one in results[:calls_shown]),
        error=quote(text_of(extra.get("error")), limit_chars),
    )


def _result_text(result: dict[str, Any]) -> str:
    """Tell what an action gave, and which command it was where no tool call tells that."""
    extra: dict[str, Any] = result.get("extra") or {}
    command = f"$ {extra['command']}\n" if extra.get("command") else ""
    return f"{command}{text_of(result.get('content'))}"


def room_of(view: StepView) -> int:
    """Return how many characters a step takes in a result, where it is indented further than alone."""
    shown = view.model_dump_json(indent=2)
    return len(shown) + _INDENT_CHARS * (shown.count("\n") + 1)


def failure_text(trial: Trial) -> str:
    """Tell why a trial failed, with what was said about it; "" where it did not."""
    return f"{trial.failure.cause.value}: {quote(trial.failure.detail, 600)}" if trial.failure else ""


def verifier_output(trial: Trial, files: TrialFiles, limit_chars: int) -> str:
    """Show the end of what the tests printed, of several steps the last one's."""
    return _tail(_ended(trial, files).verifier / "test-stdout.txt", limit_chars)


def _page(run: str, trial: Trial, files: TrialFiles, page: int) -> TraceView:
    steps = all_steps(read_trajectory(files))
    pages = _paged(_fitting(number, step) for number, step in enumerate(steps, 1))
    shown = pages[min(page, len(pages)) - 1]
    is_first = page == 1
    following = f'Call read_trace(run="{run}", trial="{trial.id}", page={page + 1}) for more.'
    return _view(
        run,
        trial,
        steps=tuple(shown),
        verifier_output=verifier_output(trial, files, OUTPUT_CHARS) if is_first else "",
        harness_output=_tail(_ended(trial, files).harness_log, OUTPUT_CHARS) if is_first else "",
        note=DATA_NOTE if any("reasoning_content" in step for step in steps) else f"{DATA_NOTE} {NO_REASONING}",
        page=min(page, len(pages)),
        pages=len(pages),
        next=following
        if page < len(pages)
        else "Form a hypothesis that helps more than this task, then edit agent.py.",
    )


def _whole_step(run: str, trial: Trial, files: TrialFiles, step: int, page: int) -> TraceView:
    steps = all_steps(read_trajectory(files))
    number = min(step, len(steps))
    parts = _parts(clean(json.dumps(steps[number - 1], indent=1, ensure_ascii=False)))
    page = min(page, len(parts))
    view = StepView(
        step=number,
        source=clip(str(steps[number - 1].get("source", "")), 100),
        message=quote(parts[page - 1], WHOLE_STEP_CHARS),
    )
    return _view(run, trial, steps=(view,), page=page, pages=len(parts), next="Call read_trace without `step`.")


def _view(run: str, trial: Trial, **rest: Any) -> TraceView:  # noqa: ANN401 - the remaining fields of TraceView
    head = {"run": run, "trial": trial.id, "task": trial.task, "reward": trial.reward, "passed": trial.passed}
    notices = tuple(quote(notice, 250) for notice in trial.notices[:_NOTICES_SHOWN])
    return TraceView(**head, failure=failure_text(trial), notices=notices, **rest)


def _fitting(number: int, step: dict[str, Any]) -> tuple[StepView, int]:
    """Show a step with as much of its long fields as a page can hold, and say how much room it takes."""
    view, room = _measured(step_view(number, step, FIELD_CHARS))
    for limit in (FIELD_CHARS // 3, FIELD_CHARS // 15):
        if room > STEPS_CHARS:
            view, room = _measured(step_view(number, step, limit))
    return view, room


def _measured(view: StepView) -> tuple[StepView, int]:
    return view, room_of(view)


def _paged(steps: Iterable[tuple[StepView, int]]) -> list[list[StepView]]:
    pages: list[list[StepView]] = [[]]
    left = STEPS_CHARS
    for step, room in steps:
        if pages[-1] and room > left:
            pages.append([])
            left = STEPS_CHARS
        pages[-1].append(step)
        left -= room
    return pages


def _parts(text: str) -> list[str]:
    """Cut a text into parts that fit in a result, whatever JSON makes of them."""
    step_chars = WHOLE_STEP_CHARS // 2
    parts = [text[:step_chars]]
    for start in range(step_chars, len(text), step_chars):
        piece = text[start : start + step_chars]
        if size(parts[-1]) + size(piece) <= WHOLE_STEP_CHARS:
            parts[-1] += piece
        else:
            parts.append(piece)
    return parts


def _ended(trial: Trial, files: TrialFiles) -> TrialFiles:
    return files.step(trial.steps[-1].name) if trial.steps else files


def _tail(path: Path, limit_chars: int) -> str:
    """The last part of a file, where a traceback or a failed assertion stands."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4 * limit_chars))
        text = clean(file.read().decode(errors="replace"))
    while size(text) > limit_chars:
        text = text[max(1, (size(text) - limit_chars) // 2) :]
    return quote(text, limit_chars)
