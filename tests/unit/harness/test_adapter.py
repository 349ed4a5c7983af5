"""agent.py as it is shipped, and its life as a Harbor agent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autoagent_mcp.harness.adapter import BOUNDARY, fixed_part

ROOT = Path(__file__).parents[3]

HARBOR_BASE = """
class BaseAgent:
    def __init__(self, logs_dir, model_name=None, **options):
        self.logs_dir = logs_dir
        self.mcp_servers, self.skills_dir = options["mcp_servers"], options["skills_dir"]
"""

HARBOR_CAPABILITIES = """
class AgentCapabilities:
    def __init__(self, **flags):
        self.flags = flags
"""

HARBOR = """
import asyncio
import pathlib
import sys
from types import SimpleNamespace

import agent
from harbor.agents.base import BaseAgent

class HarborEnvironment:
    default_user = "root"
    async def exec(self, command, cwd=None, env=None, timeout_sec=None, user=None):
        return SimpleNamespace(stdout=f"ran {command}", stderr=None, return_code=3)
"""

AS_HARBOR_DOES = """
async def run_task(environment, instruction):
    result = await environment.exec("ls")
    return f"{instruction} {environment.default_user} {result} {environment.skills_dir} {environment.mcp_servers}"

agent.run_task = run_task
made = agent.AutoAgent(logs_dir=pathlib.Path(sys.argv[1]), skills_dir="/skills", mcp_servers=["one"])
assert isinstance(made, BaseAgent) and made.name() == "autoagent" and made.version() is None
asyncio.run(made.setup(HarborEnvironment()))
asyncio.run(made.run("List.", HarborEnvironment(), None))
"""


RETURNS = """
async def run_task(environment, instruction):
    return {said}

agent.run_task = run_task
made = agent.AutoAgent(logs_dir=pathlib.Path(sys.argv[1]), skills_dir=None, mcp_servers=[])
asyncio.run(made.run("List.", HarborEnvironment(), None))
"""


def run_python(script: str, *words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    places = [str(ROOT), *([str(path)] if path else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    return subprocess.run(
        [sys.executable, "-c", script, *words], env=environment, capture_output=True, text=True, check=True
    )


def test_agent_py_ends_with_the_fixed_part() -> None:
    text = (ROOT / "agent.py").read_text(encoding="utf-8")
    assert text.count(BOUNDARY) == 1
    assert text[text.index(BOUNDARY) :] == fixed_part()


@pytest.mark.parametrize("name", ["helps", "hurts"])
def test_a_section_of_the_demo_has_no_fixed_part_of_its_own(name: str) -> None:
    section = (ROOT / "autoagent_mcp" / "demo_harnesses" / f"{name}.py.txt").read_text(encoding="utf-8")
    assert section.startswith("# === EDITABLE SECTION ===\n")
    assert BOUNDARY not in section


def test_agent_py_can_be_imported_without_harbor() -> None:
    done = run_python("import agent; print(agent.AutoAgent.__mro__[1].__name__, agent.MODEL)")
    assert done.stdout.split() == ["object", "smollm2-135m-instruct"]


def fake_harbor(folder: Path) -> Path:
    package = folder / "path" / "harbor" / "agents"
    package.mkdir(parents=True)
    (package / "base.py").write_text(HARBOR_BASE, encoding="utf-8")
    (package / "capabilities.py").write_text(HARBOR_CAPABILITIES, encoding="utf-8")
    return folder / "path"


@pytest.mark.parametrize(("said", "kept"), [("None", "None"), ("42", "42"), (r"'half \ud800'", "half ?")])
def test_whatever_run_task_returns_is_no_failure_under_harbor_as_it_is_none_here(
    tmp_path: Path, said: str, kept: str
) -> None:
    run_python(HARBOR + RETURNS.format(said=said), str(tmp_path), path=fake_harbor(tmp_path))
    assert (tmp_path / "answer.txt").read_text(encoding="utf-8") == kept


def test_agent_py_is_a_harbor_agent_where_harbor_is_there(tmp_path: Path) -> None:
    run_python(HARBOR + AS_HARBOR_DOES, str(tmp_path), path=fake_harbor(tmp_path))
    answer = (tmp_path / "answer.txt").read_text(encoding="utf-8")
    assert answer == "List. root ExecResult(stdout='ran ls', stderr='', return_code=3) /skills ('one',)"
