"""Who did something in the loop."""

from __future__ import annotations

from autoagent_mcp.models.base import Frozen


class Author(Frozen):
    """Who asked for an experiment or a decision, as far as it is known; what is not known is empty."""

    client: str = ""
    """The MCP client's own name for itself, such as "claude-code"."""
    client_version: str = ""
    meta_model: str = ""
    """The meta-agent's model, where somebody declared it: no client tells it."""
    server_version: str = ""

    @property
    def text(self) -> str:
        """In a few words, for people."""
        names = f"{self.client or 'unknown client'} {self.client_version}".rstrip()
        return f"{names} with {self.meta_model}" if self.meta_model else names
