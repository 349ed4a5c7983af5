"""Hold two trials of a task against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio

from autoagent_mcp.errors import NotComparableError, UnknownNameError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.trial import Trial, TrialFiles
from autoagent_mcp.tools.boundary import ToolContext, lab_of, speaks_mcp
from autoagent_mcp.tools.text import DATA_NOTE, quote
from autoagent_mcp.tools.traces import StepView, read_trajectory, room_of, step_view, verifier_output
from autoagent_mcp.trace.divergence import Divergence, Pair, diverge
from autoagent_mcp.trace.reading import all_steps

_SIDE_CHARS = 2_500
_SHARED_CHARS = 700
_OUTPUT_CHARS = 350
_FAILURE_CHARS = 200
_CALLS_SHOWN = 3
_STEPS_SHOWN = 2
_LIMITS = (700, 350, 150, 80)

_disk = anyio.CapacityLimiter(2)


class SideView(Frozen):
    """One of two trials: how it went on from where they part, and how it ended."""

    run: str
    trial: str
    reward: float | None
    passed: bool
    failure: str
    steps_in_all: int
    steps: tuple[StepView, ...]
    """From where they part, and the last one; none where this trial had ended."""
    verifier_output: str = ""
    """The end of what the tests printed."""


class ComparisonView(Frozen):
    """Where two trials of a task first go different ways."""

    task: str
    summary: str
    shared_steps: int
    """So many of the agent's steps did the same in both, from the first on."""
    last_shared: StepView | None
    """The step before they part, as it was in the first trial."""
    a: SideView
    b: SideView
    note: str = DATA_NOTE
    next: str


@speaks_mcp
async def compare_traces(
    ctx: ToolContext, run_a: str, run_b: str = "", *, trial_a: str = "", trial_b: str = "", task: str = ""
) -> ComparisonView:
    """Compare two trials of one task: the step where they first do something else, and how each of them ended.

    Name both trials, or a `task`: then a trial that passed is held against one that did not, where there are such, else
    the first of each run. `run_b` is `run_a` where it is left out (several attempts in one run). What differs in words
    or results alone is told and passed over. Read on with read_trace and `step`.
    """
    lab = await lab_of(ctx)
    trials_a, trials_b = (await lab.run(run_a)).trials, (await lab.run(run_b or run_a)).trials
    one, other = _chosen(trials_a, trials_b, trial_a, trial_b, task)
    (_, files_a), (_, files_b) = await lab.trial(run_a, one.id), await lab.trial(run_b or run_a, other.id)
    runs = run_a, run_b or run_a
    return await anyio.to_thread.run_sync(_compare, runs, (one, other), (files_a, files_b), limiter=_disk)


def _chosen(
    trials_a: Sequence[Trial], trials_b: Sequence[Trial], trial_a: str, trial_b: str, task: str
) -> tuple[Trial, Trial]:
    named = next((trial for trial in trials_a if trial.id == trial_a), None)
    task = task or (named.task if named else "")
    if not task and not (trial_a and trial_b):
        raise NotComparableError("No trial is named.", "Give `task`, or `trial_a` and `trial_b`.")
    some, others = _of(trials_a, trial_a, task), _of(trials_b, trial_b, task)
    pairs = [(one, other) for one in some for other in others if one is not other]
    if not pairs:
        raise NotComparableError(
            f"Run and task name a single trial, {some[0].id}.", "Name another run, or a trial of another attempt."
        )
    one, other = next((pair for pair in pairs if pair[0].passed != pair[1].passed), pairs[0])
    if one.task != other.task:
        raise NotComparableError(
            f"{one.id} and {other.id} are trials of different tasks.", "Name two trials of the same task."
        )
    return one, other


def _of(trials: Sequence[Trial], trial: str, task: str) -> list[Trial]:
    """Return the trial of this name, or those of the task."""
    found = [one for one in trials if one.id == trial] if trial else [one for one in trials if one.task == task]
    if not found:
        known = sorted({one.id for one in trials} if trial else {one.task for one in trials})
        raise UnknownNameError("trial" if trial else "task", trial or task, known)
    return found


def _compare(
    runs: tuple[str, str], trials: tuple[Trial, Trial], files: tuple[TrialFiles, TrialFiles]
) -> ComparisonView:
    steps_a, steps_b = (all_steps(read_trajectory(one)) for one in files)
    found = diverge(steps_a, steps_b)
    parted = found.parted or Pair(None, None)
    shared = [found.last_shared.a] if found.last_shared and found.last_shared.a else []
    return ComparisonView(
        task=trials[0].task,
        summary=_summary(found),
        shared_steps=found.shared,
        last_shared=next(iter(_steps(steps_a, shared, _SHARED_CHARS)), None),
        a=_side(runs[0], trials[0], files[0], steps_a, parted.a),
        b=_side(runs[1], trials[1], files[1], steps_b, parted.b),
        next=_next_step(runs, trials, parted),
    )


def _summary(found: Divergence) -> str:
    what = "say" if found.by_words else "do"
    if found.parted is None:
        told = [f"The agents {what} the same in all of their {found.shared} steps."]
    elif None in found.parted:
        ended, going = ("a", "b") if found.parted.a is None else ("b", "a")
        number = found.parted.a or found.parted.b
        told = [
            f"After {found.shared} steps that {what} the same {ended} has ended; {going} goes on with step {number}."
        ]
    else:
        a, b = found.parted
        told = [f"After {found.shared} steps that {what} the same they part, in step {a} of a and step {b} of b."]
    if found.other_prompt:
        told.append("What the agents were told before their first step differs.")
    if found.other_results:
        told.append(f"The same action first gave another result in step {_numbers(found.other_results)}.")
    if found.other_words:
        told.append(f"Their words first differ in step {_numbers(found.other_words)}.")
    return " ".join(told)


def _numbers(pair: Pair) -> str:
    return str(pair.a) if pair.a == pair.b else f"{pair.a} of a and {pair.b} of b"


def _side(run: str, trial: Trial, files: TrialFiles, steps: list[dict[str, Any]], parted: int | None) -> SideView:
    numbers = [] if parted is None else [*range(parted, min(parted + _STEPS_SHOWN, len(steps) + 1))]
    if steps and len(steps) not in numbers:
        numbers.append(len(steps))
    return SideView(
        run=run,
        trial=trial.id,
        reward=trial.reward,
        passed=trial.passed,
        failure=f"{trial.failure.cause.value}: {quote(trial.failure.detail, _FAILURE_CHARS)}" if trial.failure else "",
        steps_in_all=len(steps),
        steps=_steps(steps, numbers, _SIDE_CHARS),
        verifier_output=verifier_output(trial, files, _OUTPUT_CHARS),
    )


def _steps(steps: list[dict[str, Any]], numbers: Sequence[int], room_chars: int) -> tuple[StepView, ...]:
    """Show these steps with as much of each as there is room for, and at the worst without the last of them."""
    shown: list[StepView] = []
    for limit in _LIMITS:
        shown = [step_view(number, steps[number - 1], limit, _CALLS_SHOWN) for number in numbers]
        if sum(map(room_of, shown)) <= room_chars:
            break
    while len(shown) > 1 and sum(map(room_of, shown)) > room_chars:
        shown.pop()
    return tuple(shown)


def _next_step(runs: tuple[str, str], trials: tuple[Trial, Trial], parted: Pair) -> str:
    failed = 1 if trials[0].passed and not trials[1].passed else 0
    step = parted[failed]
    where = f", step={step}" if step else ""
    call = f'read_trace(run="{runs[failed]}", trial="{trials[failed].id}"{where})'
    return f"Call {call} for more, and look for the cause that a change of the harness would remove."
