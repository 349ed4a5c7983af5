"""Which number counts, and what several steps add up to. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from autoagent_mcp.models.trial import Failure, FailureCause

_NAMED = 5


def chosen(rewards: Mapping[str, float], key: str) -> float | Failure:
    """Return the reward that counts: that of `key`, or the only one there is; else what is wrong."""
    if key in rewards:
        return rewards[key]
    if len(rewards) == 1:
        return next(iter(rewards.values()))
    names = ", ".join(repr(name[:80]) for name in sorted(rewards)[:_NAMED])
    detail = f"There is no reward {key!r} among {names}; set `reward_key` below [decision] in autoagent.toml."
    return Failure(cause=FailureCause.REWARD_MISSING, detail=detail)


def shortfall(rewards: Mapping[str, float] | None, min_reward: Mapping[str, float]) -> str:
    """Say which key is below its least value, "" where none is; a missing one is below any."""
    for key, least in min_reward.items():
        found = (rewards or {}).get(key, float("-inf"))
        if found < least:
            return f"{key} = {found:g} is below min_reward {least:g}"
    return ""


def overall(
    steps: Sequence[Mapping[str, float] | None], strategy: Literal["mean", "final"] | None
) -> dict[str, float] | None:
    """Add up the rewards of the steps that were begun, None for one without; as Harbor does.

    `final` takes the last step's. `mean`, the default, averages each key over the steps that have rewards, one that is
    missing in a step as 0.
    """
    if strategy == "final":
        return dict(steps[-1]) if steps and steps[-1] is not None else None
    known = [rewards for rewards in steps if rewards is not None]
    if not known:
        return None
    keys = sorted({key for rewards in known for key in rewards})
    return {key: sum(rewards.get(key, 0.0) for rewards in known) / len(known) for key in keys}
