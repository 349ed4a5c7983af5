"""What a meta-agent with an empty context needs to go on. Pure: the same state gives the same text."""

from __future__ import annotations

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.experiment import Brief, Experiment
from autoagent_mcp.models.run import Progress, Run, Score

_FAILING_SHOWN = 30
_LINE_CHARS = 200


_GOAL = (
    "Goal: more passed trials on the suite with a simple, general harness (agent.py above its fixed boundary, and "
    ".agent/). The directions are in program.md."
)


class State(Frozen):
    """What is known."""

    incumbent: Experiment | None
    failing: tuple[str, ...]
    """Tasks that it does not always pass."""
    experiments: int
    kept: int
    last: tuple[Experiment, ...]
    """The newest experiments, newest first."""
    lessons: tuple[Experiment, ...]
    """The newest that were not kept, newest first."""
    running: Run | None
    progress: Progress | None
    working: str
    """How the files in the working tree stand, as a sentence."""
    next: str
    excluded: int
    tasks: int
    model: str
    backend: str
    notices: tuple[str, ...]


def write(state: State) -> Brief:
    """Say where we are, how we got there and what is next."""
    parts = [
        _GOAL,
        f"Suite: {state.tasks} tasks, model {state.model}, sandboxes by {state.backend}"
        + (f"; {state.excluded} folders are excluded (list_tasks says why)." if state.excluded else "."),
        _incumbent(state.incumbent, state.failing),
        _running(state.running, state.progress),
        state.working,
        _history(state),
        _lessons(state.lessons),
        "\n".join(f"Notice: {notice}" for notice in state.notices),
    ]
    return Brief(text="\n\n".join(part for part in parts if part), next=state.next)


def _incumbent(incumbent: Experiment | None, failing: tuple[str, ...]) -> str:
    if incumbent is None:
        return "There is no baseline yet."
    if incumbent.score is None:
        return f"The incumbent is experiment {incumbent.n}: {_line(incumbent.description)}."
    more = f" and {len(failing) - _FAILING_SHOWN} more" if len(failing) > _FAILING_SHOWN else ""
    return (
        f"The incumbent is experiment {incumbent.n} ({_line(incumbent.description)}): {_score(incumbent.score)}; "
        f"runs {', '.join(incumbent.runs[-4:])}.\n"
        f"Tasks that it does not always pass: {', '.join(failing[:_FAILING_SHOWN]) or 'none'}{more}."
    )


def _running(run: Run | None, progress: Progress | None) -> str:
    if run is None:
        return ""
    done = f", {progress.done} of {progress.total} trials done" if progress else ""
    return f"Run {run.id} ({run.kind.value}) goes on{done}: {_line(run.description)}."


def _history(state: State) -> str:
    if not state.last:
        return ""
    rows = "\n".join(_row(one) for one in state.last)
    return f"{state.experiments} experiments, {state.kept} kept. The last, newest first:\n{rows}"


def _row(experiment: Experiment) -> str:
    decision = experiment.decision.value if experiment.decision else "open"
    score = f", {_score(experiment.score)}" if experiment.score else ""
    return f"- {experiment.n} {decision}{score}: {_line(experiment.description)}"


def _lessons(lessons: tuple[Experiment, ...]) -> str:
    rows = "\n".join(f"- {one.n}: {_line(one.reason)}" for one in lessons)
    return f"What was learnt from changes that were not kept:\n{rows}" if rows else ""


def _score(score: Score) -> str:
    average = "" if score.avg_score is None else f", average reward {score.avg_score:.3f}"
    return f"{score.passed} of {score.trials} trials passed{average}"


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LINE_CHARS else f"{text[:_LINE_CHARS]}..."
