"""Task folders in Harbor's format: read, checked and named."""

from __future__ import annotations

from autoagent_mcp.task.env import names_variable, resolve_env
from autoagent_mcp.task.folder import is_task, load, load_all, solution_of
from autoagent_mcp.task.ignore import is_ignored
from autoagent_mcp.task.split import load_hidden, load_visible

__all__ = [
    "is_ignored",
    "is_task",
    "load",
    "load_all",
    "load_hidden",
    "load_visible",
    "names_variable",
    "resolve_env",
    "solution_of",
]
