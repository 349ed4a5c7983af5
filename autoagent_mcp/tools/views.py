"""What the tools answer: bounded, and ending with what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate

from pydantic import Field

from autoagent_mcp.experiment.learnt import kind_text
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.experiment import Comparison, Decision, Experiment, Judgement, PredictionScore, TaskHistory
from autoagent_mcp.models.run import Excluded, Run, RunState
from autoagent_mcp.models.trial import Arm, Trial, Usage
from autoagent_mcp.run.score import score
from autoagent_mcp.tools.text import ANSWER_LIMIT_CHARS, DATA_NOTE, clip, cost_text, quote, size

NAMES_CHARS = 500
"""Of names that stand together: as many as there is room for."""
NOTICES_CHARS = 1_000
NEXT_CHARS = 900
_BESIDE_ITEM_CHARS = 12
"""Quotation marks, comma, line and indent of an item in a list."""
EXCLUDED_CHARS = 1_500
ROWS_PER_PAGE = 20
EXPERIMENTS_PER_PAGE = 10
_TASK_CHARS = 420
_TRIAL_CHARS = 560
"""What a row takes at most in a page, but for its name."""


class BriefView(Frozen):
    """Where we are."""

    brief: str
    next: str


class TaskRow(Frozen):
    """A task with its history."""

    task: str
    passed: int
    attempts: int
    avg_cost: str
    avg_duration_sec: float
    instruction: str


class TasksView(Frozen):
    """The visible tasks."""

    tasks: tuple[TaskRow, ...]
    excluded: tuple[str, ...]
    """Folders that are not in the suite, each with its reasons."""
    page: int
    pages: int
    note: str = DATA_NOTE
    next: str


class TaskView(TaskRow):
    """A task with all that it asks for."""

    note: str = DATA_NOTE
    next: str


class VerdictView(Frozen):
    """What fresh trials of a change and its incumbent showed, side by side."""

    verdict: str
    """kept, kept (provisional), refused or undecided."""
    reason: str
    evidence: float
    """Grows with each pair won and shrinks with each lost; luck alone reaches N in at most one change of N."""
    wins: int
    losses: int
    ties: int
    difference_points: float
    """In points of the pass rate, with its 95 % interval."""
    interval_points: tuple[float, float]
    smallest_effect_points: float | None
    """The smallest gain that this suite shows in 8 of 10 cases; none where no gain can be shown."""
    trials: int
    cost: str


class RunView(Frozen):
    """A run in short."""

    run: str
    kind: str
    state: str
    description: str
    done: int
    total: int
    """Of a confirm run or a review: at most."""
    passed: int
    """Of the change's own trials, not of those beside it."""
    avg_score: float | None
    unmeasured: int
    solved: tuple[str, ...] = ()
    """Tasks that pass now and did not in the incumbent's run."""
    broken: tuple[str, ...] = ()
    prediction: str = ""
    """What was expected of the run, beside what came of it."""
    verdict: VerdictView | None = None
    """Of a confirm run or a review that has ended."""
    failures: dict[str, int] = Field(default_factory=dict)
    """How many trials by cause of failure; a trial without one may still not have passed."""
    cost: str
    notices: tuple[str, ...] = ()
    error: str = ""
    note: str = ""
    """That the error is data, where there is one."""
    next: str


class IdleView(Frozen):
    """That no run goes on."""

    state: str = "idle"
    next: str


class TrialRow(Frozen):
    """A trial in a line."""

    trial: str
    reward: float | None
    passed: bool
    failure: str = ""
    model_calls: int
    commands: int
    tokens: int
    cost: str
    judge: str = ""
    """What the verifier's own model calls took, where it made any; in no other number."""
    duration_sec: float


class RunTrialsView(Frozen):
    """A run's trials, the failed ones first."""

    run: RunView
    trials: tuple[TrialRow, ...]
    page: int
    pages: int
    note: str = DATA_NOTE
    next: str


class ExperimentRow(Frozen):
    """An experiment in a line."""

    n: int
    description: str
    kind: str
    """Which part of the harness it changes: prompt, tools, loop, settings, files, libraries, or several."""
    decision: str
    evidence: str
    """What fresh trials beside the incumbent showed, where there were some."""
    prediction: str
    """How many of the expected changes came true."""
    passed: str
    avg_score: float | None
    cost: str
    runs: tuple[str, ...]
    commit: str
    reason: str
    by: str
    """The client that began it, and its model where that was declared."""


class LedgerView(Frozen):
    """Experiments, newest first."""

    experiments: tuple[ExperimentRow, ...]
    page: int
    pages: int
    next: str


class DecisionView(Frozen):
    """What became of an experiment."""

    experiment: ExperimentRow
    verdict: VerdictView | None = None
    run: RunView | None = None
    """What goes on to decide it, or has just decided it."""
    next: str


def pages_of(count: int, per_page: int = ROWS_PER_PAGE) -> int:
    """Return how many pages a list takes; an empty one takes one."""
    return max(1, -(-count // per_page))


def rows_per_page(names: Iterable[str], row_chars: int, room_chars: int) -> int:
    """Return how many rows go on a page: fewer than usual where their names are long, or little room is left."""
    longest = max(map(size, names), default=0)
    return max(1, min(ROWS_PER_PAGE, room_chars // (row_chars + longest)))


def tasks_view(histories: Sequence[TaskHistory], excluded: Sequence[Excluded], page: int) -> TasksView:
    """Show a page of the suite's tasks, and what is not in it."""
    names = (one.task.name for one in histories)
    per_page = rows_per_page(names, _TASK_CHARS, ANSWER_LIMIT_CHARS - EXCLUDED_CHARS - NEXT_CHARS)
    left_out = [f"{one.task}: {clip('; '.join(one.reasons), 200)}" for one in excluded]
    return TasksView(
        tasks=tuple(_task_row(one) for one in histories[(page - 1) * per_page : page * per_page]),
        excluded=that_fit(left_out, EXCLUDED_CHARS),
        page=page,
        pages=pages_of(len(histories), per_page),
        next="Call run_suite to measure the harness, or read_ledger to see what was tried.",
    )


def ledger_view(experiments: Sequence[Experiment], decision: Decision | None, page: int) -> LedgerView:
    """Show a page of the experiments, newest first; of all, or of those decided so."""
    newest_first = experiments[::-1]
    found = newest_first if decision is None else [one for one in newest_first if one.decision is decision]
    shown = found[(page - 1) * EXPERIMENTS_PER_PAGE : page * EXPERIMENTS_PER_PAGE]
    return LedgerView(
        experiments=tuple(experiment_row(one) for one in shown),
        page=page,
        pages=pages_of(len(found), EXPERIMENTS_PER_PAGE),
        next="Do not try again what was reverted. Call get_brief for the next step.",
    )


def run_view(
    run: Run, comparison: Comparison | None, judgement: Judgement | None, prediction: str, next_step: str
) -> RunView:
    """Show a run, with what changed against the incumbent, or what it proved, where that is known."""
    total = score(run.trials)
    own = score([trial for trial in run.trials if trial.arm is not Arm.INCUMBENT])
    causes = Counter(trial.failure.cause.value for trial in run.trials if trial.failure)
    return RunView(
        run=run.id,
        kind=run.kind.value,
        state=run.state.value,
        description=clip(run.description, 300),
        done=len(run.trials),
        total=run.planned_trials,
        passed=own.passed,
        avg_score=_rounded(own.avg_score),
        unmeasured=total.unmeasured,
        solved=that_fit(comparison.solved, NAMES_CHARS) if comparison else (),
        broken=that_fit(comparison.broken, NAMES_CHARS) if comparison else (),
        prediction=clip(prediction, NAMES_CHARS),
        verdict=verdict_view(judgement),
        failures=dict(causes),
        cost=cost_text(total.usage.cost_usd),
        notices=that_fit([clip(notice, 450) for notice in run.notices], NOTICES_CHARS),
        error=quote(run.error, 800),
        note=DATA_NOTE if run.error else "",
        next=clip(next_step, NEXT_CHARS),
    )


def verdict_view(judgement: Judgement | None) -> VerdictView | None:
    """Show what a confirm run or a review proved."""
    if judgement is None:
        return None
    return VerdictView(
        verdict=judgement.outcome.value,
        reason=clip(judgement.reason, 300),
        evidence=round(judgement.evidence, 2),
        wins=judgement.wins,
        losses=judgement.losses,
        ties=judgement.ties,
        difference_points=round(judgement.difference_points, 1),
        interval_points=(round(judgement.low_points, 1), round(judgement.high_points, 1)),
        smallest_effect_points=judgement.smallest_effect_points,
        trials=judgement.trials,
        cost=cost_text(judgement.cost_usd),
    )


def run_trials_view(run: RunView, trials: Sequence[Trial], page: int, next_step: str) -> RunTrialsView:
    """Show a page of a run's trials: what was not measured or failed comes first."""
    ordered = sorted(trials, key=lambda trial: (trial.passed, trial.id))
    head = len(run.model_dump_json(indent=2)) + size(next_step)
    per_page = rows_per_page((trial.id for trial in ordered), _TRIAL_CHARS, ANSWER_LIMIT_CHARS - head)
    return RunTrialsView(
        run=run,
        trials=tuple(_trial_row(trial) for trial in ordered[(page - 1) * per_page : page * per_page]),
        page=page,
        pages=pages_of(len(ordered), per_page),
        next=next_step,
    )


def experiment_row(experiment: Experiment) -> ExperimentRow:
    """Show an experiment in a line."""
    found = experiment.score
    return ExperimentRow(
        n=experiment.n,
        description=clip(experiment.description, 120),
        kind=kind_text(experiment.kind_of_change),
        decision=_decision_text(experiment),
        evidence=_evidence_text(experiment.judgement),
        prediction=_hits_text(experiment.prediction),
        passed=f"{found.passed}/{found.trials}" if found else "",
        avg_score=_rounded(found.avg_score) if found else None,
        cost=cost_text(found.usage.cost_usd) if found else "",
        runs=experiment.runs[-4:],
        commit=(experiment.kept_commit or experiment.candidate.commit)[:10],
        reason=clip(experiment.reason, 200),
        by=clip(experiment.author.text, 60) if experiment.author else "",
    )


def _decision_text(experiment: Experiment) -> str:
    if experiment.decision is None:
        return f"open, {experiment.judgement.outcome.value}" if experiment.judgement else "open"
    return f"{experiment.decision.value} (provisional)" if experiment.is_provisional else experiment.decision.value


def _evidence_text(judgement: Judgement | None) -> str:
    if judgement is None:
        return ""
    return f"{judgement.evidence:.1f}: {judgement.wins} pairs won, {judgement.losses} lost"


def _hits_text(predicted: PredictionScore | None) -> str:
    if predicted is None:
        return ""
    fixed, broken = (
        f"{len(one.hits)} of {len(one.hits) + len(one.misses)}" for one in (predicted.fixed, predicted.broken)
    )
    return f"solved {fixed}, broke {broken}"


def is_over(run: Run) -> bool:
    """Tell whether a run has ended, one way or another."""
    return run.state is not RunState.RUNNING


def task_view(one: TaskHistory) -> TaskView:
    """Show a task with as much of its instruction as there is room for."""
    row = _task_row(one, ANSWER_LIMIT_CHARS - NEXT_CHARS - _TASK_CHARS)
    return TaskView(**row.model_dump(), next="Call read_run of the incumbent's run to see how its trials went.")


def _task_row(one: TaskHistory, instruction_chars: int = 150) -> TaskRow:
    return TaskRow(
        task=one.task.name,
        passed=one.passed,
        attempts=one.attempts,
        avg_cost=cost_text(one.avg_cost_usd),
        avg_duration_sec=round(one.avg_duration_sec, 1),
        instruction=quote(one.task.instruction, instruction_chars),
    )


def _trial_row(trial: Trial) -> TrialRow:
    failure = f"{trial.failure.cause.value}: {quote(trial.failure.detail, 80)}" if trial.failure else ""
    return TrialRow(
        trial=trial.id,
        reward=trial.reward,
        passed=trial.passed,
        failure=failure,
        model_calls=trial.usage.model_calls,
        commands=trial.commands,
        tokens=trial.usage.prompt_tokens + trial.usage.completion_tokens,
        cost=cost_text(trial.usage.cost_usd),
        judge=_judge_text(trial.judge_usage),
        duration_sec=round(trial.duration_sec, 1),
    )


def _judge_text(usage: Usage) -> str:
    if not usage.model_calls:
        return ""
    tokens = usage.prompt_tokens + usage.completion_tokens
    return f"{usage.model_calls} calls, {tokens} tokens, cost {cost_text(usage.cost_usd)}"


def that_fit(items: Sequence[str], limit_chars: int) -> tuple[str, ...]:
    """Show as many as there is room for, the first in any case, and say how many more there are."""
    taken = accumulate(size(item) + _BESIDE_ITEM_CHARS for item in items)
    count = max(1, sum(1 for chars in taken if chars <= limit_chars))
    more = len(items) - count
    return (*items[:count], f"and {more} more") if more > 0 else tuple(items)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
