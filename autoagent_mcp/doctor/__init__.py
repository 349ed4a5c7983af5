"""`autoagent-mcp doctor`: what stands between this machine and a night, each with its cure."""
