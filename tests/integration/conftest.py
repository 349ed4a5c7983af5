"""What the integration tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.backends import backend_name
from support.harnesses import backend
from support.suites import Suites

__all__ = ["backend", "backend_name", "suites"]


@pytest.fixture
def suites(tmp_path: Path, backend_name: str) -> Suites:
    return Suites(tmp_path, backend_name)
