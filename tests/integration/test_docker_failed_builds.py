"""A build that fails by its own doing is not tried again; one that the network failed is."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.workspaces import write_tree

from autoagent_mcp import task as task_files
from autoagent_mcp.errors import SandboxError
from autoagent_mcp.sandbox.docker.backend import DockerBackend, open_backend

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("images_alone")]  # some look at all that the engine has
BASE = "debian:bookworm-slim"


async def failure(backend: DockerBackend, folder: Path) -> str:
    with pytest.raises(SandboxError, match=r"The build of image .* failed: .*exit code: ") as caught:
        await backend.prepare(task_files.load(folder))
    return caught.value.problem


@pytest.mark.parametrize(
    ("ends", "is_built_again"),
    [("false", False), ("echo 'curl: (6) Could not resolve host: example.com' && false", True), ("exit 137", True)],
)
async def test_a_failing_step_is_run_again_only_where_the_network_or_the_machine_may_be_at_fault(
    tmp_path: Path, ends: str, *, is_built_again: bool
) -> None:
    dockerfile = f"FROM {BASE}\nRUN cat /proc/sys/kernel/random/uuid && {ends}\n"
    write_tree(
        tmp_path, {"task.toml": "", "instruction.md": "x", "tests/test.sh": "", "environment/Dockerfile": dockerfile}
    )
    async with open_backend(
        "failed-builds", cache=tmp_path / "cache", state=tmp_path / "state", harness_base=BASE
    ) as backend:
        first, second = [await failure(backend, tmp_path) for _ in range(2)]
    assert (first != second) is is_built_again, "each build prints another uuid"
