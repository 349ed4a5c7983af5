"""The least that a server on the SDK can be: one tool that does nothing and has structured output, over stdio."""

from __future__ import annotations

from mcp.server import MCPServer
from pydantic import BaseModel

server = MCPServer("empty", version="0", log_level="WARNING")


class Nothing(BaseModel):
    """What the tool answers."""

    next: str


@server.tool()
async def nothing() -> Nothing:
    """Do nothing."""
    return Nothing(next="")


if __name__ == "__main__":
    server.run()
