"""What no sandbox can honour is refused by name, for that task alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.workspaces import write_tree

from autoagent_mcp import task as task_files
from autoagent_mcp.models.task import Task
from autoagent_mcp.sandbox import unsupported

FILES = {
    "instruction.md": "Do it.",
    "tests/test.sh": "",
    "tests/test.bat": "",
    "environment/Dockerfile": "FROM x",
    "steps/one/instruction.md": "Do it.",
    "steps/one/tests/test.sh": "",
}


def make_task(folder: Path, config: str, *files: str, without: str = "") -> Task:
    write_tree(folder, {**FILES, **dict.fromkeys(files, ""), "task.toml": config})
    if without:
        (folder / without).unlink()
    return task_files.load(folder)


STEP = "[[steps]]\nname = 'one'\n"
ALLOWLIST = "network_mode = 'allowlist'\nallowed_hosts = ['pypi.org']\n"
COLLECT = "command = 'true'\nservice = 'db'\n"
DB = "there is no service but main"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (f"[environment]\n{ALLOWLIST}", "[environment] network_mode = 'allowlist': "),
        (f"[agent]\n{ALLOWLIST}", "[agent] network_mode = 'allowlist': "),
        (f"[verifier]\n{ALLOWLIST}", "[verifier] network_mode = 'allowlist': "),
        (f"[verifier.environment]\n{ALLOWLIST}", "[verifier.environment] network_mode = 'allowlist': "),
        (f"{STEP}[steps.agent]\n{ALLOWLIST}", "step 'one' [agent] network_mode = 'allowlist': "),
        (f"{STEP}[steps.verifier]\n{ALLOWLIST}", "step 'one' [verifier] network_mode = 'allowlist': "),
        (
            f"{STEP}[steps.verifier.environment]\n{ALLOWLIST}",
            "step 'one' [verifier.environment] network_mode = 'allowlist': ",
        ),
        ("[environment]\ngpus = 2", "[environment] gpus = 2: no GPU is handed to a sandbox"),
        ("[verifier.environment]\ngpus = 1", "[verifier.environment] gpus = 1: no GPU is handed to a sandbox"),
        ("[environment.tpu]\ntype = 'v4'\ntopology = '2x2'", "[environment] tpu: no TPU is handed to a sandbox"),
        ("[environment]\nos = 'windows'", "[environment] os = 'windows': only Linux tasks are run"),
        (f"[[verifier.collect]]\n{COLLECT}", f"[verifier] collect of service 'db': {DB}"),
        (f"{STEP}[[steps.verifier.collect]]\n{COLLECT}", f"step 'one' [verifier] collect of service 'db': {DB}"),
        ("[[artifacts]]\nsource = '/x'\nservice = 'db'", f"artifact '/x' of service 'db': {DB}"),
        (f"{STEP}[[steps.artifacts]]\nsource = '/x'\nservice = 'db'", f"artifact '/x' of service 'db': {DB}"),
    ],
)
def test_settings_that_cannot_be_honoured_are_named_with_their_place_and_the_reason(
    tmp_path: Path, config: str, expected: str
) -> None:
    (refusal,) = unsupported.refusals(make_task(tmp_path, config))
    assert refusal.startswith(f"task.toml: {expected}")


COMPOSE = "docker-compose.yaml: a task is one sandbox here, and compose files are not run"
SEPARATE = "[verifier]\nenvironment_mode = 'separate'"
SEPARATE_STEP = f"{STEP}[steps.verifier]\nenvironment_mode = 'separate'"


@pytest.mark.parametrize(
    ("config", "file", "expected"),
    [
        ("", "environment/docker-compose.yaml", (f"environment/{COMPOSE}",)),
        ("[environment]\ndocker_image = 'x'", "environment/docker-compose.yaml", (f"environment/{COMPOSE}",)),
        ("", "tests/docker-compose.yaml", ()),
        (SEPARATE, "tests/docker-compose.yaml", (f"tests/{COMPOSE}",)),
        (SEPARATE_STEP, "steps/one/tests/docker-compose.yaml", (f"steps/one/tests/{COMPOSE}",)),
        (SEPARATE, "tests/Dockerfile", ()),
    ],
)
def test_a_compose_file_is_refused_where_an_image_would_come_from_it(
    tmp_path: Path, config: str, file: str, expected: tuple[str, ...]
) -> None:
    assert unsupported.refusals(make_task(tmp_path, config, file)) == expected


def test_a_task_without_dockerfile_needs_an_image(tmp_path: Path) -> None:
    missing = ("environment/Dockerfile is missing, and no docker_image is named",)
    assert unsupported.refusals(make_task(tmp_path, "", without="environment/Dockerfile")) == missing
    named = "[environment]\ndocker_image = 'x'"
    assert unsupported.refusals(make_task(tmp_path, named, without="environment/Dockerfile")) == ()


HONOURED = """
artifacts = ["/app", {source = "/x", service = "main"}]
[environment]
network_mode = "no-network"
cpus = 2
memory_mb = 512
gpus = 0
mcp_servers = [{name = "x", url = "http://x"}]
healthcheck = {command = "true"}
[agent]
user = "agent"
network_mode = "public"
[verifier]
environment = {network_mode = "no-network"}
collect = [{command = "true", user = 1000}]
[[steps]]
name = "one"
"""


def test_what_can_be_honoured_is_not_refused(tmp_path: Path) -> None:
    assert unsupported.refusals(make_task(tmp_path, HONOURED)) == ()
