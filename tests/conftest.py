"""Where no Docker engine answers, tests that need one are skipped with the reason, or fail where it is required.

Nothing is written to the user's own folders. Several processes may share the tests (`pytest -n 4 --dist worksteal`).
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Generator
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of this session, the same one in each process that shares its tests."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> Generator[None]:
    """Keep state and cache apart from the user's; packages come from uv's usual cache, as fetching them takes long."""
    uv_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR", str(uv_cache)))
        environment.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        environment.setenv("XDG_CACHE_HOME", str(shared_folder / "cache"))
        yield


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
