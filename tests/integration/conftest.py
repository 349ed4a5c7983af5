"""What the integration tests share."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from pathlib import Path

import pytest
from support.backends import backend_name
from support.harnesses import backend
from support.suites import Suites

__all__ = ["backend", "backend_name", "suites"]


@pytest.fixture
def images_alone(shared_folder: Path) -> Generator[None]:
    """Look at all images of the engine while no other test does, in this process or another.

    Not xdist_group: xdist 3.8 cannot tell pytest 9.2's node ids apart by group.
    """
    with (shared_folder / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def suites(tmp_path: Path, backend_name: str) -> Suites:
    return Suites(tmp_path, backend_name)
