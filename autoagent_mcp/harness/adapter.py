"""The fixed part of agent.py, as shipped: every candidate ends with exactly this text.

It lies beside this module as `fixed_adapter.py.txt`, no module itself: it needs the part above it.
"""

from __future__ import annotations

from importlib import resources

BOUNDARY = "# === FIXED ADAPTER BOUNDARY ==="
"""The first line of the fixed part."""


def fixed_part() -> str:
    """Return the text from the boundary line to the end of agent.py."""
    return (resources.files("autoagent_mcp.harness") / "fixed_adapter.py.txt").read_text(encoding="utf-8")
