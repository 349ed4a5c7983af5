"""Values of `env` tables that come from the server's own environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from autoagent_mcp.errors import TaskError

_TEMPLATE = re.compile(r"\$\{([^}:]+)(?::-(.*))?\}")


def resolve_env(env: Mapping[str, str]) -> dict[str, str]:
    """Put the server's own variables where a value is `${VAR}` or `${VAR:-default}` as a whole, as Harbor does.

    Raises:
        TaskError: A variable is not set and has no default.
    """
    return {key: _resolve(key, value) for key, value in env.items()}


def names_variable(value: str, variable: str) -> bool:
    """Tell whether a value of an `env` table takes a variable of the server."""
    match = _TEMPLATE.fullmatch(value)
    return match is not None and match[1] == variable


def _resolve(key: str, value: str) -> str:
    match = _TEMPLATE.fullmatch(value)
    if match is None:
        return value
    default: str | None = match[2]
    found = os.environ.get(match[1], default)
    if found is None:
        raise TaskError(
            f"The env value {key} = {value!r} needs the variable {match[1]}, which is not set here.",
            f"Set {match[1]} before the server starts, or give a default: ${{{match[1]}:-...}}.",
        )
    return found
