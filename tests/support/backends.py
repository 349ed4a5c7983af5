"""The backends on which whole runs are tested."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def backend_name(request: pytest.FixtureRequest) -> str:
    """Name each backend in turn; a test marked `only_on(backend, reason)` gets that one alone."""
    name: str = request.param
    if (only := request.node.get_closest_marker("only_on")) and only.args[0] != name:
        pytest.skip(only.args[1])
    return name
