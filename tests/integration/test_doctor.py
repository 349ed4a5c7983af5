"""`autoagent-mcp doctor`: every line is true here, and what is broken is named with its cure."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.commands import autoagent
from support.stub_upstream import Fails, running
from support.workspaces import ANSWER_TASK, NO_MODEL, git, harness, make_workspace, write_tree

from autoagent_mcp._io import FileLock
from autoagent_mcp.config import ModelSettings
from autoagent_mcp.doctor import machine, model
from autoagent_mcp.workspace import Workspace

IDLE = "async def run_task(environment, instruction):\n    return ''"


def examined(folder: Path, *words: str, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = autoagent("doctor", "--json", *words, folder=folder, **environment)
    assert done.stderr == ""
    return done.returncode, {one["check"]: one for one in json.loads(done.stdout)}


def states(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return what is not as it should be, by check; what depends on the machine of the tests is left out."""
    wrong = {name: one["state"] for name, one in found.items() if one["state"] != "ok"}
    assert all(found[name]["cure"] for name in wrong)
    return {name: state for name, state in wrong.items() if name not in {"command", "disk"}}


async def test_a_sound_workspace_is_found_sound_and_is_not_changed(tmp_path: Path) -> None:
    async with running() as stub:
        make_workspace(tmp_path, agent=harness(IDLE), settings=NO_MODEL.format(url=stub.url))
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        status, found = await anyio.to_thread.run_sync(examined, tmp_path)
    assert (status, states(found)) == (0, {})
    assert found["sandboxes"]["said"] == "bubblewrap works; autoagent.toml asks for it"
    assert found["tasks"]["said"] == "1 tasks can run on bubblewrap"
    assert found["identity"]["said"].endswith("test <test@localhost>")
    assert found["clock"]["said"] == "agrees with the provider's"
    assert [request.path for request in stub.received] == ["/v1/chat/completions"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_everything_that_is_wrong_is_named_with_its_cure(tmp_path: Path) -> None:
    settings = (
        '[model]\nprovider = "openai"\nname = "stub"\napi_key_env = "NO_SUCH_KEY"\n[split]\nhidden_dir = "../gone"\n'
    )
    workspace = make_workspace(
        tmp_path,
        agent=harness(IDLE).replace("class ExecResult", "class Other"),
        tasks={"gpu": {**ANSWER_TASK, "task.toml": "[environment]\ngpus = 1\n"}},
        settings=settings,
    )
    write_tree(tmp_path, {".agent/requirements.txt": "../evil\n"})
    git(tmp_path, "config", "--unset", "user.email")
    workspace.state.mkdir()
    lock = FileLock(workspace.lock)
    assert lock.take()
    status, found = examined(tmp_path)
    lock.give_back()
    assert status == 1
    assert states(found) == {
        **dict.fromkeys(("harness", "libraries", "tasks", "hidden tasks", "model"), "failed"),
        **dict.fromkeys(("identity", "repository"), "warning"),
    }
    assert "gpu (task.toml: " in found["tasks"]["said"]
    assert "NO_SUCH_KEY is not set" in found["model"]["said"]
    assert found["server"]["said"].startswith(f"process {os.getpid()} is at work here")


def test_settings_that_cannot_be_read_do_not_hide_what_else_is_wrong(tmp_path: Path) -> None:
    write_tree(tmp_path, {"autoagent.toml": "[modle]\n"})
    status, found = examined(tmp_path, "--offline")
    assert (status, states(found)) == (1, {"git": "failed", "settings": "failed"})
    told = autoagent("doctor", "--offline", folder=tmp_path).stdout
    assert f"failed  settings     {found['settings']['said']} -> {found['settings']['cure']}\n" in told


def test_files_that_cannot_be_read_are_named_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, agent=harness(IDLE), settings='[run]\nbackend = "auto"\n')
    write_tree(tmp_path, {".autoagent/runs/0001/run.json": "{"})
    (tmp_path / ".agent").mkdir(exist_ok=True)
    (tmp_path / ".agent" / "requirements.txt").write_bytes(b"\xff")
    workspace.lock.symlink_to(workspace.lock)
    status, found = examined(tmp_path, "--offline")
    assert status == 1
    assert {"libraries", "server"} <= {name for name, one in found.items() if one["state"] == "failed"}
    assert {"sandboxes", "tasks", "model"} <= found.keys()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fails(401, body="no such key sk-secret"), "does not serve us: HTTP 401: no such key [key]"),
        (Fails(400, body="no \x1b[2Jsuch model"), "refused a request: HTTP 400: no such model"),
        (Fails(503, body="later"), "HTTP 503: later"),
    ],
)
async def test_a_provider_that_does_not_serve_us_is_quoted(
    monkeypatch: pytest.MonkeyPatch, fault: Fails, said: str
) -> None:
    monkeypatch.setenv("STUB_KEY", "sk-secret")
    async with running() as stub:
        stub.fault = fault
        settings = ModelSettings(provider="anthropic", name="c", base_url=stub.url, api_key_env="STUB_KEY")
        finding = (await model.examine("model", settings, is_offline=False)).finding
    assert (finding.state, said in finding.said, "STUB_KEY" in finding.cure) == ("failed", True, True)
    assert len(stub.received) == 1


def test_a_clock_that_is_wrong_is_told(tmp_path: Path) -> None:
    workspace = Workspace(folder=tmp_path)
    assert machine.clock(workspace, time.time() - 3600).said.startswith("is 3600 s ahead of the provider's")
    assert machine.clock(workspace, time.time()).state == "ok"
    assert machine.clock(workspace, None).state == "ok"
    soon = time.time() + 7200
    os.utime(tmp_path, (soon, soon))
    assert machine.clock(workspace, None).state == "warning"
