"""Git, for the workspace: candidates, keep, revert and the ledger's ref. The only room that knows git."""

from __future__ import annotations

from autoagent_mcp.repo.commits import FALLBACK_IDENTITY
from autoagent_mcp.repo.files import Editable
from autoagent_mcp.repo.git import Git
from autoagent_mcp.repo.refs import MovedRef
from autoagent_mcp.repo.repo import Repo, Snapshot, find

__all__ = ["FALLBACK_IDENTITY", "Editable", "Git", "MovedRef", "Repo", "Snapshot", "find"]
