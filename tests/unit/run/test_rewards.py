"""Which number counts, and what steps add up to."""

from __future__ import annotations

import pytest

from autoagent_mcp.models.trial import Failure, FailureCause
from autoagent_mcp.run.rewards import chosen, overall, shortfall


def test_the_key_counts_or_else_the_only_one() -> None:
    assert chosen({"reward": 0.5, "style": 1.0}, "style") == 1.0
    assert chosen({"accuracy": 0.25}, "reward") == 0.25
    missing = chosen({"a": 1.0, "b": 2.0}, "reward")
    assert isinstance(missing, Failure)
    assert missing.cause is FailureCause.REWARD_MISSING


@pytest.mark.parametrize(
    ("rewards", "least", "is_short"),
    [
        ({"reward": 0.5}, {"reward": 0.5}, False),
        ({"reward": 0.5}, {"reward": 0.6}, True),
        ({"reward": 1.0}, {"reward": 0.5, "style": -5.0}, True),
        (None, {"reward": -100.0}, True),
        (None, {}, False),
    ],
)
def test_a_missing_key_is_below_every_least_value(
    rewards: dict[str, float] | None, least: dict[str, float], *, is_short: bool
) -> None:
    assert bool(shortfall(rewards, least)) is is_short


def test_steps_are_averaged_by_key_over_those_with_rewards_or_the_last_one_counts() -> None:
    steps = ({"reward": 1.0, "style": 1.0}, None, {"reward": 0.0})
    assert overall(steps, None) == overall(steps, "mean") == {"reward": 0.5, "style": 0.5}
    assert overall(steps, "final") == {"reward": 0.0}
    assert overall((*steps, None), "final") is None
    assert overall((None,), "mean") is None
    assert overall((), "final") is None
