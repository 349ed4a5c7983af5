"""Whole runs of a harness that works inside each task's own sandbox, and the libraries that it finds there."""

from __future__ import annotations

import io
import uuid
from collections.abc import Generator
from pathlib import Path

import docker
import pytest
from support.harnesses import HARNESS_BASE, agent, trials, trials_inside
from support.suites import Suites

from autoagent_mcp.errors import HarnessError, SandboxRefused
from autoagent_mcp.models.trial import FailureCause
from autoagent_mcp.sandbox.base import Backend

INSIDE = {"harness": {"where": "task"}}
PYTHON = {"environment/Dockerfile": f"FROM {HARNESS_BASE}\nWORKDIR /app\n"}
REWARD = "echo 1 > /logs/verifier/reward.txt"
REQUIREMENTS = {".agent/requirements.txt": b"iniconfig==2.0.0\n"}
USES_IT = agent("import getpass, iniconfig, os; return f'{iniconfig.__file__} {os.getuid()}'")


async def test_what_it_does_to_local_files_is_verified(suites: Suites) -> None:
    body = """
        import pathlib, subprocess
        pathlib.Path("answer.txt").write_text(subprocess.check_output(["pwd"], text=True))
        await environment.exec("echo more >> answer.txt")
    """
    test = f'[ "$(tr "\\n" " " < answer.txt)" = "/app more " ] && {REWARD}'
    measured = await suites.one(test=test, files=PYTHON, solver=body, settings=INSIDE)
    assert (measured.trial.reward, measured.trial.failure, measured.trial.commands) == (1.0, None, 1)


async def test_nothing_of_it_runs_any_more_when_the_tests_look(suites: Suites) -> None:
    body = """
        import os, subprocess
        subprocess.Popen(["sleep", "98123"], start_new_session=True)
        if os.fork() == 0:
            os.setsid()
            os.execvp("sleep", ["sleep", "98123"])
    """
    test = f"grep -lsa '9812[3]' /proc/[0-9]*/cmdline || {REWARD}"
    measured = await suites.one(test=test, files=PYTHON, solver=body, settings=INSIDE)
    assert (measured.trial.reward, measured.trial.failure) == (1.0, None)


@pytest.mark.only_on("docker", "a bubblewrap sandbox has the server's Python")
async def test_an_image_without_a_python_measures_nothing_and_says_why(suites: Suites) -> None:
    measured = await suites.one(test=REWARD, solver="pass", settings=INSIDE)
    assert measured.trial.reward is None
    assert measured.trial.failure is not None
    assert measured.trial.failure.cause is FailureCause.SANDBOX_LOST
    assert "Python 3.10 or newer" in measured.trial.failure.detail


async def test_a_harness_that_cannot_be_imported_there_counts_as_zero(suites: Suites) -> None:
    body = "return\n1 +"
    measured = await suites.one(test=REWARD, files=PYTHON, solver=body, settings=INSIDE)
    assert measured.trial.failure is not None
    assert (measured.trial.reward, measured.trial.failure.cause) == (0.0, FailureCause.HARNESS_CRASHED)


# Libraries


async def test_libraries_are_there_in_its_own_sandbox(tmp_path: Path, backend: Backend) -> None:
    async with trials({**USES_IT, **REQUIREMENTS}, tmp_path, backend) as harness:
        assert (await harness.run()).detail == "/opt/harness/iniconfig/__init__.py 1000"
        assert (await backend.prepare_harness("iniconfig==2.0.0"))[0] == (
            await backend.prepare_harness("# the same\niniconfig == 2.0.0")
        )[0]


async def test_libraries_are_there_in_the_tasks_sandbox(tmp_path: Path, backend: Backend) -> None:
    async with trials_inside({**USES_IT, **REQUIREMENTS}, tmp_path, backend, HARNESS_BASE) as (harness, _):
        assert (await harness.run()).detail == "/opt/harness/iniconfig/__init__.py 0"


@pytest.fixture
def own_user() -> Generator[str]:
    """An image with a Python but no pip, whose commands are not root's."""
    tag = f"autoagent-mcp-tests/{uuid.uuid4().hex}:1"
    client = docker.from_env()
    recipe = f"FROM {HARNESS_BASE}\nRUN rm -rf /usr/lib/python3/dist-packages/pip*\nUSER nobody\n"
    client.images.build(fileobj=io.BytesIO(recipe.encode()), tag=tag, rm=True, forcerm=True)
    yield tag
    client.images.remove(tag, force=True)
    client.close()


@pytest.mark.only_on("docker", "images are Docker's")
async def test_libraries_reach_an_image_that_has_no_pip_and_keep_its_user(
    tmp_path: Path, backend: Backend, own_user: str
) -> None:
    async with trials_inside({**USES_IT, **REQUIREMENTS}, tmp_path, backend, own_user) as (harness, _):
        assert (await harness.run()).detail == "/opt/harness/iniconfig/__init__.py 65534"


@pytest.mark.only_on("docker", "bubblewrap's are tested beside it")
@pytest.mark.parametrize(
    ("requirements", "reason"),
    [("no-such-package-of-anyone==1", "No matching distribution"), ("a @ file:///etc/passwd", "names an address")],
)
async def test_what_cannot_be_installed_is_told_with_the_end_of_what_pip_said(
    requirements: str, reason: str, tmp_path: Path, backend: Backend
) -> None:
    files = {**USES_IT, ".agent/requirements.txt": requirements.encode()}
    with pytest.raises(HarnessError, match=reason):
        async with trials(files, tmp_path, backend):
            pass
    with pytest.raises(HarnessError, match=reason):
        async with trials_inside(files, tmp_path, backend, HARNESS_BASE):
            pass


@pytest.mark.only_on("docker", "images are Docker's")
async def test_libraries_for_an_image_without_a_python_are_refused_for_that_task(
    tmp_path: Path, backend: Backend
) -> None:
    with pytest.raises(SandboxRefused, match=r"python3: (command )?not found"):
        async with trials_inside({**USES_IT, **REQUIREMENTS}, tmp_path, backend, "debian:bookworm-slim"):
            pass
