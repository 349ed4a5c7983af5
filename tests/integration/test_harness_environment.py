"""The environment object of run_task, through the real gateway, in a real task sandbox."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.gateways import KEY_ENV, OPENAI
from support.harnesses import agent
from support.stub_upstream import KEY, running

from autoagent_mcp.config import TrialSettings
from autoagent_mcp.gateway import app
from autoagent_mcp.harness import process
from autoagent_mcp.harness.process import HarnessEnd, Order
from autoagent_mcp.models.trial import TrialFiles
from autoagent_mcp.sandbox.base import Image, Sandbox, SandboxSpec
from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend


@asynccontextmanager
async def tried(body: str, folder: Path) -> AsyncGenerator[tuple[HarnessEnd, Sandbox]]:
    """Run run_task once; give its end and the task's sandbox."""
    backend = BubblewrapBackend("tests", folder / "cache")
    files = TrialFiles(folder=folder)
    spec = SandboxSpec(name="task", image=Image(id="task", base="the host's system"))
    async with running() as stub, app.serve(OPENAI, upstream_url=stub.url) as gateway, backend.start(spec) as sandbox:
        async with (
            process.start(backend, agent(body), name="harness", gateway_port=gateway.port) as harness,
            gateway.session(files, sandbox, TrialSettings()) as session,
        ):
            order = Order(trial="trial", token=session.token, instruction="", timeout_sec=30, log=files.harness_log)
            end = await harness.try_task(order, sandbox)
        yield end, sandbox


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)


async def test_commands_run_in_the_tasks_sandbox(tmp_path: Path) -> None:
    body = """
        result = await environment.exec("echo $A; pwd; echo wrong >&2; exit 3", cwd="/tmp", env={"A": "b"})
        return repr(tuple(result))
    """
    async with tried(body, tmp_path) as (end, _):
        assert end == HarnessEnd(how="returned", detail=repr(("b\n/tmp\n", "wrong\n", 3)))


async def test_a_command_past_its_time_raises(tmp_path: Path) -> None:
    body = """
        try:
            await environment.exec("sleep 100", timeout_sec=1)
        except RuntimeError as error:
            return str(error)
    """
    async with tried(body, tmp_path) as (end, _):
        assert end == HarnessEnd(how="returned", detail="Command timed out after 1 seconds")


async def test_a_refusal_is_an_error_with_its_reason(tmp_path: Path) -> None:
    body = """
        try:
            await environment.exec("true", user="mallory")
        except RuntimeError as error:
            return str(error)
    """
    async with tried(body, tmp_path) as (end, _):
        assert "mallory" in end.detail


async def test_files_and_folders_come_through_both_ways(tmp_path: Path) -> None:
    body = """
        import pathlib
        here = pathlib.Path("/tmp/here")
        (here / "sub").mkdir(parents=True)
        (here / "a.bin").write_bytes(bytes(range(256)) * 1000)
        (here / "sub" / "b c.txt").write_text("b")
        await environment.upload_file(here / "a.bin", "/task/deep/renamed.bin")
        await environment.upload_dir(here, "/task/folder")
        await environment.download_file("/task/deep/renamed.bin", "/tmp/back/a.bin")
        await environment.download_dir("/task/folder", "/tmp/folder")
        back = pathlib.Path("/tmp/back/a.bin").read_bytes() == (here / "a.bin").read_bytes()
        listed = sorted(str(path.relative_to("/tmp/folder")) for path in pathlib.Path("/tmp/folder").rglob("*"))
        there = [await environment.is_file("/task/folder/sub/b c.txt"), await environment.is_dir("/task/folder/sub"),
            await environment.is_file("/task/folder/sub"), await environment.is_dir("/task/none")]
        return repr((back, listed, there))
    """
    async with tried(body, tmp_path) as (end, sandbox):
        expected = (True, ["a.bin", "sub", "sub/b c.txt"], [True, True, False, False])
        assert end == HarnessEnd(how="returned", detail=repr(expected))
        assert (await sandbox.exec("cd /task && find . -type f | sort")).stdout.splitlines() == [
            "./deep/renamed.bin",
            "./folder/a.bin",
            "./folder/sub/b c.txt",
        ]


@pytest.mark.parametrize("method", ["download_file", "download_dir"])
async def test_what_is_not_there_cannot_be_downloaded(method: str, tmp_path: Path) -> None:
    body = f"""
        try:
            await environment.{method}("/task/none", "/tmp/none")
        except FileNotFoundError as error:
            return str(error)
    """
    async with tried(body, tmp_path) as (end, _):
        assert "/task/none" in end.detail


async def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    body = """
        await environment.exec("mkdir -p /task/folder; touch /task/folder/a")
        try:
            await environment.download_file("/task/folder", "/tmp/x")
        except (FileNotFoundError, IsADirectoryError) as error:
            return "refused"
    """
    async with tried(body, tmp_path) as (end, _):
        assert end.detail == "refused"
