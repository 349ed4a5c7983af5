"""The labels on all that this tool makes in an engine: so it is found again, and nothing else is touched."""

from __future__ import annotations

MADE = "autoagent-mcp"
"""On everything; the value says what it is: "sandbox", "network", "image"."""
WORKSPACE = "autoagent-mcp.workspace"
"""`Workspace.id`; on sandboxes and networks."""
OWNER = "autoagent-mcp.owner"
"""Which server made it; on sandboxes and networks. See `owners`."""
NAME = "autoagent-mcp.name"
"""`SandboxSpec.name`, for people."""
REPOSITORY = "autoagent-mcp"
"""Images are tagged `autoagent-mcp/task:<content hash>` and `autoagent-mcp/harness:<content hash>`."""
