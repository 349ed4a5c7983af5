"""What a meta-agent with an empty context needs to go on. Pure: the same state gives the same text.

Each part is bounded, so that the whole stays within 8,000 characters however long the workspace's history is.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoagent_mcp._text import one_line
from autoagent_mcp.experiment.failing import Cause, FailingTask
from autoagent_mcp.experiment.learnt import Calibration, Hits, KeepRate, Learnt, Lesson, NearMiss, kind_text
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.experiment import Brief, Experiment
from autoagent_mcp.models.run import Progress, Run, Score

SHOWN = 6
"""So many of the last experiments."""
_NOTICES_SHOWN = 3
_FEW_PREDICTED = 20
CHANGES_SHOWN = 5
_CAUSES_SHOWN = 6
_CAUSE_CHARS = 160
_GOAL_CHARS = 350
_AUTHORS_CHARS = 250
_NAMES_CHARS = 100
_TEXT_CHARS = 160
_ROW_CHARS = 100
_LESSON_CHARS = 130

_GOAL = (
    "Goal: more passed trials on the suite with a simple, general harness (agent.py above its fixed boundary, and "
    ".agent/)."
)


class State(Frozen):
    """What is known."""

    goal: str
    """What program.md says it is; empty where it says nothing."""
    incumbent: Experiment | None
    lineage: tuple[Experiment, ...]
    """The baseline and the last `CHANGES_SHOWN` changes that were kept since, oldest first."""
    changes: int
    """How many there are in all."""
    causes: tuple[Cause, ...]
    """Why the incumbent's trials fail."""
    experiments: int
    kept: int
    last: tuple[Experiment, ...]
    """The newest experiments, newest first."""
    learnt: Learnt
    authors: tuple[tuple[str, int], ...]
    """Who began how many experiments."""
    provable: str
    """What a decision here is worth, in words."""
    budget: str
    """What is left of it, as a sentence; empty without one."""
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
        _goal(state.goal),
        f"Suite: {state.tasks} tasks, model {one_line(state.model, _NAMES_CHARS)}, sandboxes by {state.backend}"
        + (f"; {state.excluded} folders are excluded (list_tasks says why)." if state.excluded else "."),
        _incumbent(state.incumbent),
        _lineage(state.lineage, state.changes),
        _causes(state.causes),
        state.provable,
        state.budget,
        _running(state.running, state.progress),
        one_line(state.working, _TEXT_CHARS),
        _history(state),
        _lessons(state.learnt.lessons),
        _near_misses(state.learnt.near_misses),
        _keep_rates(state.learnt.keep_rates),
        _calibration(state.learnt.calibration),
        _authors(state.authors),
        _notices(state.notices),
    ]
    return Brief(text="\n\n".join(part for part in parts if part), next=state.next)


def _goal(written: str) -> str:
    if not written:
        return f"{_GOAL} There is no program.md with directions: a person may write one."
    return f"{_GOAL} Read program.md; it begins: {one_line(written, _GOAL_CHARS)}"


def _incumbent(incumbent: Experiment | None) -> str:
    if incumbent is None:
        return "There is no baseline yet."
    if incumbent.score is None:
        return f"The incumbent is experiment {incumbent.n}: {one_line(incumbent.description, _TEXT_CHARS)}."
    provisional = ", kept provisionally" if incumbent.is_provisional else ""
    return (
        f"The incumbent is experiment {incumbent.n} ({one_line(incumbent.description, _TEXT_CHARS)}){provisional}: "
        f"{_score(incumbent.score)}; runs {', '.join(incumbent.runs[-4:])}."
    )


def _lineage(lineage: Sequence[Experiment], changes: int) -> str:
    if not changes:
        return ""
    baseline, *shown = lineage
    left_out = changes - len(shown)
    start = f"- {baseline.n} (the baseline): {_score(baseline.score)}" if baseline.score else f"- {baseline.n}"
    more = [f"- and {left_out} more"] if left_out > 0 else []
    return "\n".join(["How it got there:", start, *more, *(_change(one) for one in shown)])


def _change(kept: Experiment) -> str:
    kind = f" ({kind_text(kept.kind_of_change)})" if kept.kind_of_change else ""
    return f"- {kept.n}{kind}{_gain(kept)}: {one_line(kept.description, _ROW_CHARS)}"


def _gain(kept: Experiment) -> str:
    found, shown = kept.judgement, kept.comparison
    if found is not None:
        return f" {found.difference_points:+.1f} points ({found.low_points:+.1f} to {found.high_points:+.1f})"
    return f" from {shown.passed_before} to {shown.passed_now} passed" if shown is not None else ""


def _causes(causes: Sequence[Cause]) -> str:
    rows = [f"- {cause.name}: {_names([_failing(one) for one in cause.tasks], _CAUSE_CHARS)}" for cause in causes]
    if len(rows) > _CAUSES_SHOWN:
        rows = [*rows[:_CAUSES_SHOWN], f"- and {len(rows) - _CAUSES_SHOWN} more"]
    return "\n".join(["What the incumbent fails, by cause (so often, of so many trials):", *rows]) if rows else ""


def _failing(task: FailingTask) -> str:
    return f"{task.name} {task.failed} of {task.trials}"


def _running(run: Run | None, progress: Progress | None) -> str:
    if run is None:
        return ""
    done = f", {progress.done} of {progress.total} trials done, {progress.passed} passed" if progress else ""
    return f"Run {run.id} ({run.kind.value}) goes on{done}: {one_line(run.description, _TEXT_CHARS)}."


def _history(state: State) -> str:
    if not state.last:
        return ""
    rows = "\n".join(_row(one) for one in state.last)
    return f"{state.experiments} experiments, {state.kept} kept. The last, newest first:\n{rows}"


def _row(experiment: Experiment) -> str:
    decision = experiment.decision.value if experiment.decision else "open"
    kind = f" ({kind_text(experiment.kind_of_change)})" if experiment.kind_of_change else ""
    score = f", {_score(experiment.score)}" if experiment.score else ""
    return f"- {experiment.n}{kind} {decision}{score}: {one_line(experiment.description, _ROW_CHARS)}"


def _lessons(lessons: Sequence[Lesson]) -> str:
    rows = "\n".join(_lesson(one) for one in lessons)
    return f"What not to try again, as it was not kept:\n{rows}" if rows else ""


def _lesson(lesson: Lesson) -> str:
    kind = f" ({lesson.kind})" if lesson.kind else ""
    others = f", and {lesson.others} before it" if lesson.others else ""
    return f"- {lesson.experiment}{kind}{others}: {one_line(lesson.text, _LESSON_CHARS)}"


def _near_misses(misses: Sequence[NearMiss]) -> str:
    rows = "\n".join(_near_miss(one) for one in misses)
    return f"Near misses, which fixed tasks that the incumbent still fails:\n{rows}" if rows else ""


def _near_miss(miss: NearMiss) -> str:
    shown = "one run" if miss.evidence is None else f"evidence {miss.evidence:.1f}"
    fixed, broke = (_names(names, _NAMES_CHARS) for names in (miss.fixed, miss.broken))
    return f"- {miss.experiment}: fixed {fixed}; broke {broke}; {shown}"


def _keep_rates(rates: Sequence[KeepRate]) -> str:
    told = ", ".join(f"{one.kind} {one.kept} of {one.tried}" for one in rates)
    return f"Kept so far, by kind of change: {told}." if told else ""


def _calibration(found: Calibration) -> str:
    if not found.runs:
        return ""
    runs = f"{found.runs} runs" if found.runs > 1 else "1 run"
    few = ", too few to judge you by" if found.fixed.expected + found.broken.expected < _FEW_PREDICTED else ""
    return (
        f"Your predictions, in {runs}{few}: {_hits(found.fixed, 'become solved', 'became solved')}; "
        f"{_hits(found.broken, 'break', 'broke')}. A single run is noisy: some of what changed did so by luck."
    )


def _hits(found: Hits, future: str, past: str) -> str:
    """Tell how many of the expected came true, and how many of those that came true were expected."""
    if not found.expected and not found.happened:
        return f"no task was expected to {future} and none did"
    tasks = "1 task" if found.expected == 1 else f"{found.expected} tasks"
    expected = f"of {tasks} expected to {future} {found.hits} did" if found.expected else ""
    happened = f"of {found.happened} that {past} {found.hits} {'was' if found.hits == 1 else 'were'} expected"
    return "; ".join(part for part in (expected, happened if found.happened else "") if part)


def _authors(authors: Sequence[tuple[str, int]]) -> str:
    """Say who worked here, where it was not one alone."""
    if len(authors) < 2:  # noqa: PLR2004
        return ""
    shown = [f"{one_line(name, _NAMES_CHARS)} ({count})" for name, count in authors]
    return f"Experiments by client: {_names(shown, _AUTHORS_CHARS)}."


def _notices(notices: Sequence[str]) -> str:
    shown = [f"Notice: {one_line(notice, _TEXT_CHARS)}" for notice in notices[:_NOTICES_SHOWN]]
    if len(notices) > _NOTICES_SHOWN:
        shown.append(f"Notice: and {len(notices) - _NOTICES_SHOWN} more.")
    return "\n".join(shown)


def _score(score: Score) -> str:
    average = "" if score.avg_score is None else f", average reward {score.avg_score:.3f}"
    return f"{score.passed} of {score.trials} trials passed{average}"


def _names(names: Sequence[str], limit_chars: int) -> str:
    """List as many names as there is room for, the first in any case."""
    shown = list(names[:1])
    for name in names[1:]:
        if len(", ".join([*shown, name])) > limit_chars:
            break
        shown.append(name)
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"{', '.join(shown) or 'none'}{more}"
