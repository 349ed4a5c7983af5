"""`autoagent-mcp night`: a client is started with a brief, and again when it stops before the work is over."""
