"""A trajectory as its readers want it: one list of steps, and contents as text."""

from __future__ import annotations

import json
from typing import Any

from autoagent_mcp.trace.wire import JsonObject


def all_steps(trajectory: JsonObject) -> list[JsonObject]:
    """Return the main conversation's steps and then those of each sub-agent, which say where they come from."""
    steps = list(trajectory["steps"])
    for sub in trajectory.get("subagent_trajectories") or ():
        steps += [{**step, "source": f"{step.get('source')} ({sub.get('trajectory_id')})"} for step in sub["steps"]]
    return steps


def text_of(content: Any) -> str:  # noqa: ANN401 - ATIF allows a text or a list of parts
    """Return a step's content as text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return json.dumps(content, ensure_ascii=False)
