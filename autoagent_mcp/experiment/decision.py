"""What the rule says of a candidate. Pure: no clock, no disk, no sandbox."""

from __future__ import annotations

from autoagent_mcp.models.experiment import Comparison, Decision, Verdict
from autoagent_mcp.models.run import Run, RunState
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


def crash_of(run: Run) -> str:
    """Say why a run shows a crash of the harness and no measurement of it; empty where it does not."""
    if run.state is RunState.FAILED and run.is_harness_broken:
        return run.error
    causes = [trial.failure.cause if trial.failure else None for trial in run.trials]
    if run.state is RunState.COMPLETE and causes and set(causes) == {FailureCause.HARNESS_CRASHED}:
        return f"The harness crashed in each of the {len(causes)} trials."
    return ""
