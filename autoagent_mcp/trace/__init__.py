"""The trace of a trial: what its harness, its model and its sandbox did, in ATIF.

records.py         the lines that the gateway wrote, in order; what cannot be read is counted
wire.py            three model APIs -> the same few kinds of item
conversation.py    requests that continue one another -> a conversation's steps
atif.py            conversations and commands -> a trajectory
reading.py         a trajectory -> one list of steps
divergence.py      two trajectories -> where they part
"""

from __future__ import annotations

from autoagent_mcp.trace.atif import SCHEMA_VERSION, build

__all__ = ["SCHEMA_VERSION", "build"]
