"""`autoagent-mcp init`: a workspace in a new or an existing repository."""
