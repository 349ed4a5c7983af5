"""Git, for the workspace: candidates, keep, revert and the ledger's ref. The only room that knows git."""

from __future__ import annotations

from autoagent_mcp.repo.files import Editable
from autoagent_mcp.repo.refs import MovedRef
from autoagent_mcp.repo.repo import Repo, Snapshot

__all__ = ["Editable", "MovedRef", "Repo", "Snapshot"]
