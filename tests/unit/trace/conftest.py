"""A record of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.records import Record


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """What a trial left, empty at first."""
    return Record(tmp_path)
