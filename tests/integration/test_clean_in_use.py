"""`autoagent-mcp clean` beside a server that works."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
from support.workspaces import ANSWER_TASK, write_tree

from autoagent_mcp import task as task_files
from autoagent_mcp.sandbox.base import SandboxSpec
from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend


async def clean(home: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(home), "DOCKER_HOST": f"unix://{home}/none.sock"}
    await anyio.run_process([sys.executable, "-m", "autoagent_mcp", "clean", "--older-than", "1d"], env=environment)


async def test_a_server_keeps_what_its_sandboxes_are_shown_and_makes_again_what_it_lost(tmp_path: Path) -> None:
    cache = tmp_path / "autoagent-mcp"
    backend = BubblewrapBackend("0123456789ab", cache)
    write_tree(tmp_path / "task", ANSWER_TASK)
    task = task_files.load(tmp_path / "task")
    (layer,) = (await backend.prepare(task)).layers
    image, mounts, _python = await backend.prepare_harness("")
    (libraries,) = (mount.source for mount in mounts)
    for path in (layer, libraries):
        os.utime(path, (1, 1))
    async with backend.start(SandboxSpec(name="harness", image=image, mounts=mounts)):
        await clean(tmp_path)
        assert (libraries.is_dir(), layer.exists()) == (True, False)
    async with backend.start(SandboxSpec(name="task", image=await backend.prepare(task))):
        await clean(tmp_path)
    assert (libraries.is_dir(), layer.exists()) == (False, True)
