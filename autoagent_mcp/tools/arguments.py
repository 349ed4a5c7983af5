"""What a tool is called with: an argument that it does not have is refused, where the SDK would pass over it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from mcp.server.mcpserver.exceptions import ToolError

_CLIENTS_OWN = frozenset({"wait_for_previous"})
"""Gemini CLI offers it to its model with every tool, and passes it on. It also rules out `additionalProperties: false`
in the schema: Gemini CLI would then refuse calls with its own argument."""
_CONTEXT = "ctx"
"""What the SDK gives to every tool."""


def refuse_unknown(tool: Callable[..., Any], given: Iterable[str]) -> None:
    """See that a tool has all these arguments, so that a misspelt one is not lost without a word.

    Raises:
        ToolError: It has not.
    """
    known = _arguments(tool)
    for name in given:
        if name not in _CLIENTS_OWN and name not in known:
            takes = ", ".join(known) or "none"
            raise ToolError(f"{tool.__name__} has no argument {name!r}. It takes: {takes}.")


@cache
def _arguments(tool: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(tool).parameters if name != _CONTEXT)
