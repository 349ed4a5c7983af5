"""Clients for tests: the SDK's own, in memory or over stdio."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Literal

from mcp import Client, StdioServerParameters
from mcp.types import TextContent

from autoagent_mcp.server import build_server
from autoagent_mcp.workspace import Workspace

Era = Literal["legacy", "auto"]
Call = Callable[..., Coroutine[Any, Any, dict[str, Any]]]


class ToolFailed(Exception):  # noqa: N818 - what a tool said, not a fault of the test
    """A tool answered with an error."""


@asynccontextmanager
async def in_memory(workspace: Workspace, era: Era = "auto") -> AsyncGenerator[Call]:
    """Speak to a server in this process."""
    async with Client(build_server(workspace), mode=era) as client:
        yield caller(client)


@asynccontextmanager
async def over_stdio(workspace: Workspace, era: Era = "auto", **env: str) -> AsyncGenerator[Call]:
    """Speak to a server that is a process of its own."""
    words = ["-m", "autoagent_mcp", "--workspace", str(workspace.folder)]
    server = StdioServerParameters(command=sys.executable, args=words, env={**os.environ, **env})
    async with Client(server, mode=era) as client:
        yield caller(client)


def caller(client: Client) -> Call:
    """Return what calls a tool and returns its structured result, or raises ToolFailed."""

    async def call(tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        result = await client.call_tool(tool, arguments, read_timeout_seconds=300, progress_callback=_pass_over)
        if result.is_error:
            raise ToolFailed("".join(part.text for part in result.content if isinstance(part, TextContent)))
        assert result.structured_content is not None
        return result.structured_content

    return call


async def _pass_over(progress: float, total: float | None, message: str | None) -> None:
    """Take what a client that wants to hear of progress is sent."""
