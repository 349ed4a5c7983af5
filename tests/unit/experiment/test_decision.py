"""The rule that decides, as a table."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from autoagent_mcp.experiment.comparison import compare
from autoagent_mcp.experiment.decision import crash_of, decide
from autoagent_mcp.models.experiment import Comparison, Decision
from autoagent_mcp.models.run import Run, RunKind, RunState, Score, Suite, TaskScore
from autoagent_mcp.models.trial import Failure, FailureCause, Trial, Usage

NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)


def score(attempts: int = 1, **passed: int) -> Score:
    tasks = [
        TaskScore(task=name, attempts=attempts, passed=count, unmeasured=0, avg_reward=count / attempts)
        for name, count in passed.items()
    ]
    total = sum(passed.values())
    return Score(
        trials=attempts * len(tasks),
        passed=total,
        unmeasured=0,
        avg_score=total / (attempts * len(tasks)),
        tasks=tuple(tasks),
        usage=Usage(),
    )


def comparison(before: Score, now: Score, complexity_before: int = 100, complexity_now: int = 100) -> Comparison:
    return compare(before, now, complexity_before=complexity_before, complexity_now=complexity_now)


def run(*causes: FailureCause | None, state: RunState = RunState.COMPLETE, is_harness_broken: bool = False) -> Run:
    trials = [
        Trial(
            id=f"t__{number}",
            task="t",
            attempt=number,
            reward=0.0,
            passed=False,
            failure=Failure(cause=cause) if cause else None,
            started_at=NOW,
            duration_sec=1,
        )
        for number, cause in enumerate(causes, 1)
    ]
    return Run(
        id="0001",
        kind=RunKind.SUITE,
        description="",
        candidate="",
        suite=Suite(tasks=("t",), fingerprint="", backend="", model=""),
        state=state,
        started_at=NOW,
        trials=tuple(trials),
        error="agent.py raised ImportError." if is_harness_broken else "No key." if state is RunState.FAILED else "",
        is_harness_broken=is_harness_broken,
    )


@pytest.mark.parametrize(
    ("passed_before", "passed_now", "complexity_now", "decision"),
    [
        (1, 2, 100, Decision.KEEP),
        (1, 2, 500, Decision.KEEP),
        (1, 1, 99, Decision.KEEP),
        (1, 1, 100, Decision.REVERT),
        (1, 1, 101, Decision.REVERT),
        (2, 1, 1, Decision.REVERT),
        (0, 0, 99, Decision.KEEP),
        (0, 0, 100, Decision.REVERT),
    ],
)
def test_more_passed_is_kept_and_as_many_only_with_a_simpler_harness(
    passed_before: int, passed_now: int, complexity_now: int, decision: Decision
) -> None:
    before, now = score(attempts=2, a=passed_before), score(attempts=2, a=passed_now)
    verdict = decide(comparison(before, now, complexity_now=complexity_now))
    assert verdict.decision is decision
    assert str(passed_now) in verdict.reason


def test_the_average_decides_nothing() -> None:
    now = score(a=1, b=0).model_copy(update={"avg_score": 0.9})
    assert decide(comparison(score(a=1, b=0), now)).decision is Decision.REVERT


def test_a_comparison_names_what_was_solved_and_what_broke() -> None:
    found = comparison(score(a=1, b=0, c=1, d=0), score(a=0, b=1, c=1, d=0))
    assert (found.solved, found.broken) == (("b",), ("a",))
    assert (found.passed_before, found.passed_now) == (2, 2)


def test_a_spot_check_is_compared_on_its_own_tasks_by_the_share_that_passed() -> None:
    found = comparison(score(a=1, b=0, c=1), score(attempts=4, a=3, b=1))
    assert (found.solved, found.broken) == (("b",), ("a",))
    assert (found.passed_before, found.passed_now) == (1, 4)


def test_a_harness_that_cannot_be_imported_or_always_crashes_is_a_crash() -> None:
    crashed = FailureCause.HARNESS_CRASHED
    assert crash_of(run(crashed, crashed)) == "The harness crashed in each of the 2 trials."
    assert crash_of(run(state=RunState.FAILED, is_harness_broken=True)) == "agent.py raised ImportError."


def test_one_trial_that_went_its_way_or_a_fault_of_ours_is_no_crash() -> None:
    assert crash_of(run(FailureCause.HARNESS_CRASHED, None)) == ""
    assert crash_of(run(FailureCause.HARNESS_CRASHED, FailureCause.SANDBOX_LOST)) == ""
    assert crash_of(run(FailureCause.HARNESS_CRASHED, state=RunState.CANCELLED)) == ""
    assert crash_of(run(state=RunState.FAILED)) == ""
    assert crash_of(run()) == ""
