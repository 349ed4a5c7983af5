"""Where two trials of a task first go different ways. Pure.

What an agent does is what it calls, with which arguments, or, where it calls no tools, the commands that its harness
ran for it; where there are none of these either, it is what it says. The n-th step of one agent is held against the
n-th of the other, so a longer prompt or one more message from the harness parts nobody. Words, reasoning and results of
calls differ in nearly all trials at a temperature: that alone is told, and is no parting.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, zip_longest
from typing import NamedTuple

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.trace.reading import text_of
from autoagent_mcp.trace.wire import JsonObject


class Pair(NamedTuple):
    """The numbers of two steps that are held against each other, counted from 1; None where a trace has ended."""

    a: int | None
    b: int | None


class Divergence(Frozen):
    """How two traces part."""

    shared: int
    """So many steps of the agent do the same in both, from the first on."""
    last_shared: Pair | None
    """The last of these."""
    parted: Pair | None
    """Where they first do something else; None where they never do."""
    by_words: bool
    """Whether only what was said told them apart, as neither did anything."""
    other_words: Pair | None
    """Where they first say something else while they do the same."""
    other_results: Pair | None
    """Where the same action first gave something else."""
    other_prompt: bool
    """Whether what the agents were told before their first step differs."""


def diverge(a: Sequence[JsonObject], b: Sequence[JsonObject]) -> Divergence:
    """Find where two traces part.

    Args:
        a: The steps of one trajectory, in ATIF, in order.
        b: Those of the other.
    """
    acting_a, acting_b = _acting(a), _acting(b)
    by_words = not any(_actions(step) for _, step in (*acting_a, *acting_b))
    shared = 0
    last_shared = parted = other_words = other_results = None
    for (at_a, one), (at_b, other) in zip_longest(acting_a, acting_b, fillvalue=(None, None)):
        here = Pair(at_a, at_b)
        if one is None or other is None or _deed(one, by_words=by_words) != _deed(other, by_words=by_words):
            parted = here
            break
        shared, last_shared = shared + 1, here
        other_words = other_words or (here if _words(one) != _words(other) else None)
        other_results = other_results or (here if _results(one) != _results(other) else None)
    return Divergence(
        shared=shared,
        last_shared=last_shared,
        parted=parted,
        by_words=by_words,
        other_words=other_words,
        other_results=other_results,
        other_prompt=_prompt(a) != _prompt(b),
    )


def _acting(steps: Sequence[JsonObject]) -> list[tuple[int, JsonObject]]:
    """The steps in which an agent speaks or something is done, with their numbers."""
    numbered = zip(count(1), steps, strict=False)
    return [(number, step) for number, step in numbered if _is_agents(step) or _actions(step)]


def _is_agents(step: JsonObject) -> bool:
    return str(step.get("source")).startswith("agent")


def _prompt(steps: Sequence[JsonObject]) -> list[tuple[object, str]]:
    """What was said before the agent's first step."""
    start = next((index for index, step in enumerate(steps) if _is_agents(step)), len(steps))
    return [(step.get("source"), _words(step)) for step in steps[:start]]


def _deed(step: JsonObject, *, by_words: bool) -> tuple[object, object]:
    return step.get("source"), _words(step) if by_words else _actions(step)


def _actions(step: JsonObject) -> list[object]:
    called: list[object] = [(call.get("function_name"), call.get("arguments")) for call in step.get("tool_calls") or ()]
    facts: list[JsonObject] = [result.get("extra") or {} for result in _observed(step)]
    return called or [one["command"] for one in facts if "command" in one]


def _results(step: JsonObject) -> list[str]:
    return [text_of(result.get("content")) for result in _observed(step)]


def _observed(step: JsonObject) -> list[JsonObject]:
    observation: JsonObject = step.get("observation") or {}
    return observation.get("results") or []


def _words(step: JsonObject) -> str:
    return " ".join(text_of(step.get("message")).split())
