"""Serves MCP over streamable HTTP: who is let in, what a request may take, and how the server ends."""
