"""The tools, resources and prompts, as the server offers them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mcp.server import MCPServer
from mcp.types import ToolAnnotations

from autoagent_mcp.tools.arguments import refuse_unknown
from autoagent_mcp.tools.boundary import Door
from autoagent_mcp.tools.changes import keep_change, revert_change
from autoagent_mcp.tools.compare import compare_traces
from autoagent_mcp.tools.files import edit_harness, read_harness
from autoagent_mcp.tools.ledger import get_brief, list_tasks, read_ledger
from autoagent_mcp.tools.plot import plot_progress
from autoagent_mcp.tools.prompts import add_prompts
from autoagent_mcp.tools.resources import add_resources
from autoagent_mcp.tools.suite import cancel_run, read_run, run_suite, spot_check, wait_run
from autoagent_mcp.tools.traces import read_trace

_READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_MEASURES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_DECIDES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
_EDITS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False)

TOOLS = (
    (get_brief, _READS),
    (list_tasks, _READS),
    (run_suite, _MEASURES),
    (spot_check, _MEASURES),
    (wait_run, _READS),
    (cancel_run, _DECIDES),
    (read_run, _READS),
    (read_trace, _READS),
    (compare_traces, _READS),
    (read_harness, _READS),
    (edit_harness, _EDITS),
    (keep_change, _DECIDES),
    (revert_change, _DECIDES),
    (read_ledger, _READS),
    (plot_progress, _READS),
)


_BY_NAME = {tool.__name__: tool for tool, _ in TOOLS}


def register(server: MCPServer[Any], door: Door) -> None:
    """Give the server its tools, resources and prompts."""
    for tool, hints in TOOLS:
        server.add_tool(tool, annotations=hints)
    add_resources(server, door)
    add_prompts(server)


def check_arguments(name: str, given: Iterable[str]) -> None:
    """See that a call names no argument that the tool does not have. Raises: ToolError: it does."""
    if name in _BY_NAME:
        refuse_unknown(_BY_NAME[name], given)
