"""The append-only list of what happened in a workspace. The only room that knows SQLite."""

from __future__ import annotations

from autoagent_mcp.ledger.ledger import Ledger
from autoagent_mcp.ledger.rows import GENESIS, Entry

__all__ = ["GENESIS", "Entry", "Ledger"]
