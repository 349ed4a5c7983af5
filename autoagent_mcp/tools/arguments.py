"""What a tool is called with: an argument that it does not have is refused, where the SDK would pass over it."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver.tools import Tool
from pydantic import create_model, model_validator

_CLIENTS_OWN = frozenset({"wait_for_previous"})
"""Gemini CLI offers it to its model with every tool, and passes it on. It also rules out `additionalProperties: false`
in the schema: Gemini CLI would then refuse calls with its own argument."""


def refuse_unknown(tool: Tool) -> Tool:
    """Make a tool refuse arguments that it does not have, so that a misspelt one is not lost without a word."""
    arguments = tool.fn_metadata.arg_model
    known = [field.alias or name for name, field in arguments.model_fields.items()]

    def refuse(given: dict[str, Any]) -> dict[str, Any]:
        for name in given.keys() - _CLIENTS_OWN - {*known}:
            raise ValueError(f"{tool.name} has no argument {name!r}. It takes: {', '.join(known) or 'none'}.")
        return given

    validators: dict[str, Any] = {"refuse_unknown": model_validator(mode="before")(refuse)}
    tool.fn_metadata.arg_model = create_model(arguments.__name__, __base__=arguments, __validators__=validators)
    return tool
