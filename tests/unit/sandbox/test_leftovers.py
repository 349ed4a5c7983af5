"""A server that is killed leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from support.processes import until, with_argument

from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend

SERVER = """
import signal
import sys
from pathlib import Path
import anyio
from autoagent_mcp.sandbox.base import Image, SandboxSpec
from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend

async def main():
    backend = BubblewrapBackend("0123456789ab", Path(sys.argv[1]))
    async with anyio.create_task_group() as group:
        group.start_soon(use, backend, "task")
        group.start_soon(use, backend, "harness")

async def use(backend, role):
    async with backend.start(SandboxSpec(name="x", image=Image(id="x", base="x"), role=role)) as sandbox:
        await sandbox.exec("setsid sleep {mark} > /dev/null & sleep {mark}")

signal.signal(signal.SIGINT, signal.default_int_handler)  # which whoever runs the tests may have switched off
anyio.run(main)
"""


async def test_nothing_runs_after_the_server_was_killed(backend: BubblewrapBackend, tmp_path: Path) -> None:
    mark = f"1{uuid.uuid4().int % 10**12}"
    code = SERVER.replace("{mark}", mark)
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as server:  # noqa: ASYNC220
        try:
            await until(lambda: len(with_argument(f"sleep\0{mark}")) == 4)
        finally:
            server.kill()
    await until(lambda: with_argument(mark) == [])
    assert await backend.remove_leftovers("0123456789ab") == 0


@pytest.mark.parametrize("number", [15, 2])
async def test_nothing_runs_after_the_server_was_ended(tmp_path: Path, number: int) -> None:
    mark = f"1{uuid.uuid4().int % 10**12}"
    code = SERVER.replace("{mark}", mark)
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL) as server:  # noqa: ASYNC220
        try:
            await until(lambda: len(with_argument(f"sleep\0{mark}")) == 4)
            server.send_signal(number)
            server.wait(60)
        finally:
            server.kill()
    await until(lambda: with_argument(mark) == [])
