"""Where no Docker engine answers, tests that need one are skipped with the reason, or fail where it is required."""

from __future__ import annotations

import gc
import os
import warnings

import docker
import pytest
from docker.errors import DockerException


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs Docker, or let it fail where AUTOAGENT_REQUIRE_DOCKER=1 asks for it."""
    wanting = [item for item in items if item.get_closest_marker("docker")]
    if not wanting or os.environ.get("AUTOAGENT_REQUIRE_DOCKER") == "1":
        return
    reason = why_no_engine()
    with warnings.catch_warnings():
        # The docker package leaves a socket that does not connect to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    if reason:
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason=reason))


def why_no_engine() -> str:
    """Say why no engine can be used; "" where one answers."""
    try:
        client = docker.from_env()
        client.ping()
        client.close()
    except DockerException as error:
        return f"no Docker engine answers: {str(error)[:100]}"
    return ""
