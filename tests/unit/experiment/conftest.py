"""A workspace for each test, with state folders of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.labs import make_lab_workspace

from autoagent_mcp.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Make one whose harness passes two of four tasks."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return make_lab_workspace(tmp_path / "work", "apple", "banana")
