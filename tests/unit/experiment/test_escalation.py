"""What the loop is asked to try next, after changes that were not kept."""

from __future__ import annotations

from datetime import datetime, timezone

from autoagent_mcp.experiment.escalation import PERIOD, Turn, advise, misses, turn
from autoagent_mcp.experiment.learnt import NearMiss
from autoagent_mcp.models.experiment import Candidate, ChangeKind, Decision, Experiment

NEAR = (
    NearMiss(experiment=3, fixed=("t1", "t2"), broken=("t9",), evidence=3.0),
    NearMiss(experiment=5, fixed=("t1",), broken=(), evidence=2.0),
    NearMiss(experiment=7, fixed=("t3",), broken=(), evidence=None),
)


def tried(*decisions: Decision | None, kind: ChangeKind = ChangeKind.PROMPT) -> list[Experiment]:
    """Return a kept baseline and what came after it."""
    return [
        Experiment(
            n=n,
            description=f"Idea {n}",
            candidate=Candidate(tree=f"{n}", commit=f"{n}", identity=f"{n}", complexity=1),
            parent="0" if n else None,
            base_commit="0",
            started_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
            decision=decision,
            kind_of_change=(kind,) if n else (),
        )
        for n, decision in enumerate((Decision.KEEP, *decisions))
    ]


def test_what_is_asked_for_grows_with_what_was_not_kept_and_begins_again_at_the_end() -> None:
    turns = [turn(count) for count in range(1, PERIOD + 1)]
    assert turns == [kind for kind in (Turn.REFINE, Turn.PIVOT, Turn.COMBINE, Turn.SIMPLIFY) for _ in range(2)]
    assert [turn(count + PERIOD) for count in range(1, PERIOD + 1)] == turns
    assert turn(0) is None
    asked = {advise(tried(*[Decision.REVERT] * count), NEAR).split(": ")[0].split(". ")[1] for count in range(1, 40)}
    assert asked == {"Refine", "Pivot", "Combine near misses", "Simplify"}


def test_only_what_came_after_the_last_keep_and_is_over_counts() -> None:
    lost, kept = Decision.REVERT, Decision.KEEP
    assert misses(tried()) == 0
    assert misses(tried(lost, kept)) == 0
    assert misses(tried(lost, kept, lost, Decision.CRASH)) == 2
    assert misses(tried(lost, None)) == 1
    assert advise(tried(lost, kept), NEAR) == ""


def test_each_turn_names_what_to_take_up() -> None:
    lost = Decision.REVERT
    refine = advise(tried(lost), NEAR)
    assert refine.startswith(
        "The last change was not kept. Refine: try a variation of experiment 3, which fixed t1, t2"
    )
    assert "refs/autoagent/experiments/3:agent.py" in refine
    assert "traces of experiment 2" in advise(tried(lost, lost), ())
    pivot = advise(tried(*[lost] * 3), NEAR)
    assert "The last 3 changes were not kept. Pivot" in pivot
    assert "Not tried yet: tools, loop, settings, files, libraries." in pivot
    several = [one.model_copy(update={"kind_of_change": tuple(ChangeKind)}) for one in tried(*[lost] * 4)]
    some = [one.model_copy(update={"kind_of_change": (*ChangeKind,)[:2]}) for one in tried(*[lost] * 4)]
    assert "Tried least: loop (5 times)" in advise([*several, *some], NEAR)
    combine = advise(tried(*[lost] * 5), NEAR)
    assert "experiments 3 and 7 together, which fixed t1, t2, t3" in combine
    assert "Simplify" in advise(tried(*[lost] * 5), NEAR[:1])
