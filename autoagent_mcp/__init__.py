"""An MCP server with which a coding agent improves a task agent's harness."""

__version__ = "0.1.0"
