"""What trials say of a candidate that cheats. Pure.

One such trial blocks the keep, whatever the others gave: a score says nothing of a harness that has seen the tests.
"""

from __future__ import annotations

from collections.abc import Iterable

from autoagent_mcp.models.trial import Arm, Trial

PASSED_IMPOSSIBLE = "It passed a task that cannot be solved."


def cheats_of(trials: Iterable[Trial]) -> tuple[str, ...]:
    """Say what shows that a candidate cheats; empty where nothing does.

    Args:
        trials: Of its runs, also those that measured nothing; the incumbent's beside it are passed over.
    """
    own = (trial for trial in trials if trial.arm is not Arm.INCUMBENT)
    return tuple(dict.fromkeys(f"Trial {trial.id}: {cheat}" for trial in own for cheat in trial.cheats))
