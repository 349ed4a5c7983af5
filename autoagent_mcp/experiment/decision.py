"""What the rule says of a candidate. Pure: no clock, no disk, no sandbox."""

from __future__ import annotations

from collections.abc import Mapping

from autoagent_mcp.experiment.book import Tally
from autoagent_mcp.experiment.evidence import margin_for
from autoagent_mcp.experiment.race import opens_door, pooled
from autoagent_mcp.models.experiment import Comparison, Decision, Verdict
from autoagent_mcp.models.run import Run, RunState, Score
from autoagent_mcp.models.trial import FailureCause


def decide(comparison: Comparison) -> Verdict:
    """Apply the seed's rule: more passed is kept, equally many and simpler is kept, everything else is reverted."""
    before, now = comparison.passed_before, comparison.passed_now
    nodes = f"{comparison.complexity_now} syntax nodes, the incumbent has {comparison.complexity_before}"
    if now > before:
        return Verdict(decision=Decision.KEEP, reason=f"More trials passed: {now}, before {before}.")
    if now < before:
        return Verdict(decision=Decision.REVERT, reason=f"Fewer trials passed: {now}, before {before}.")
    if comparison.complexity_now < comparison.complexity_before:
        return Verdict(
            decision=Decision.KEEP, reason=f"As many trials passed ({now}) with a simpler harness ({nodes})."
        )
    return Verdict(decision=Decision.REVERT, reason=f"As many trials passed ({now}), and it is not simpler ({nodes}).")


def open_door(score: Score, tallies: Mapping[str, Tally], comparison: Comparison, *, by_reward: bool) -> Verdict:
    """Say whether a first run is good enough to confirm the candidate beside the incumbent; it never keeps one.

    Args:
        score: Of that run.
        tallies: The incumbent's fresh trials by task; where there are none, its own first run stands in.
        comparison: With that first run.
        by_reward: Whether rewards are compared, and not passes.
    """
    passed, attempts = sum(task.gained(by_reward=by_reward) for task in score.tasks), score.trials - score.unmeasured
    known = [tallies[task.task] for task in score.tasks if task.task in tallies]
    before, before_attempts = pooled((tally.gained, tally.attempts) for tally in known)
    if not known:
        before, before_attempts = comparison.passed_before, attempts
    is_simpler = comparison.complexity_now < comparison.complexity_before
    margin = margin_for(len(score.tasks)) if is_simpler else 0.0
    is_open = opens_door(passed, attempts, before, before_attempts, margin=margin)
    unit = "rewards" if by_reward else "passes"
    beside = f"{passed:.3g} {unit} in {attempts} trials, the incumbent has {before:.3g} in {before_attempts} on average"
    if is_open:
        what = "No worse in its first run, and simpler" if is_simpler else "Better in its first run"
        return Verdict(decision=Decision.KEEP, reason=f"{what}: {beside}. That may be luck.")
    return Verdict(decision=Decision.REVERT, reason=f"No better in its first run: {beside}.")


def crash_of(run: Run) -> str:
    """Say why a run shows a crash of the harness and no measurement of it; empty where it does not."""
    if run.state is RunState.FAILED and run.is_harness_broken:
        return run.error
    causes = [trial.failure.cause if trial.failure else None for trial in run.trials]
    if run.state is RunState.COMPLETE and causes and set(causes) == {FailureCause.HARNESS_CRASHED}:
        return f"The harness crashed in each of the {len(causes)} trials."
    return ""
