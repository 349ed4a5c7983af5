"""`autoagent-mcp connect`: the configuration with which a client starts the server."""
