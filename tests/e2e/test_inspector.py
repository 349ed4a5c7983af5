"""The MCP Inspector's command line, on stdio and HTTP: a client that is not the SDK's own, and checks schemas."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.served import served
from support.workspaces import NO_MODEL, harness, make_workspace

INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"
SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1")
SOLVES = "async def run_task(environment, instruction):\n    await environment.exec('echo 42 > answer.txt')"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def inspector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the Inspector, which takes some seconds and 110 MB."""
    folder = tmp_path_factory.mktemp("inspector")
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    words = ["npm", "install", "--prefix", str(folder), "--cache", str(folder / "cache"), "--ignore-scripts"]
    done = await anyio.run_process([*words, "--no-audit", "--no-fund", INSPECTOR], check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install {INSPECTOR}: {done.stderr.decode()[-200:]}")
    return folder / "node_modules" / ".bin" / "mcp-inspector"


@pytest.mark.timeout(180)
async def test_the_inspector_finds_the_same_sound_server_on_stdio_and_http(inspector: Path, tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "work", agent=harness(SOLVES), settings=SETTINGS)
    stdio = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(workspace.folder)]

    async def ask(where: list[str], method: str, *options: str) -> dict[str, Any]:
        command = [str(inspector), "--cli", *where, "--method", method, *options]
        done = await anyio.run_process(command, check=False, env={**os.environ, "HOME": str(tmp_path)})
        assert (done.returncode, done.stderr) == (0, b"")
        return json.loads(done.stdout)

    listed = await ask(stdio, "tools/list", "--strict")
    arguments = ("--tool-arg", "description=the baseline", "wait_sec=50")
    run = await ask(stdio, "tools/call", "--tool-name", "run_suite", *arguments)
    assert run["structuredContent"]["passed"] == 1
    assert json.loads(run["content"][0]["text"]) == run["structuredContent"]
    async with served(workspace) as server:
        http = [server.url, "--transport", "http", "--header", f"Authorization: Bearer {server.token}"]
        assert await ask(http, "tools/list", "--strict") == listed
        read = await ask(http, "tools/call", "--tool-name", "read_run", "--tool-arg", "run=0001")
        assert read["structuredContent"]["run"]["passed"] == 1
        for kind in ("resources", "prompts"):
            assert kind in await ask(http, f"{kind}/list")
