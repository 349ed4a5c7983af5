"""Workspaces for tests: a real git repository with a harness and a few tasks."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from autoagent_mcp.workspace import Workspace

ROOT = Path(__file__).parents[2]

ANSWER_TASK = {
    "task.toml": 'schema_version = "1.4"\n[agent]\ntimeout_sec = 20\n',
    "instruction.md": "Write 42 to answer.txt.\n",
    "environment/Dockerfile": "FROM debian:bookworm-slim\nWORKDIR /app\n",
    "solution/solve.sh": "#!/bin/bash\necho 42 > answer.txt\n",
    "tests/test.sh": '#!/bin/bash\nr=0\n[ "$(cat answer.txt)" = 42 ] && r=1\necho $r > /logs/verifier/reward.txt\n',
}
"""A task that one command solves."""

NO_MODEL = """\
[model]
provider = "openai-compatible"
name = "stub"
base_url = "{url}"
"""


OFFLINE = '[run]\nbackend = "bubblewrap"\n'
"""Tests say which backend they mean: left open it would be Docker where an engine happens to answer."""


SEED = '[decision]\nrule = "seed"\n'
"""For tests of the loop: one run decides."""


def on_bubblewrap(settings: str) -> str:
    """Add the backend to settings that leave it open."""
    if "backend =" in settings:
        return settings
    return settings.replace("[run]\n", OFFLINE) if "[run]\n" in settings else f"{settings}\n{OFFLINE}"


def git(folder: Path, *words: str) -> str:
    """Run git in a folder and return what it printed."""
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True, encoding="utf-8")
    return done.stdout.strip()


def write_tree(folder: Path, files: Mapping[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def harness(run_task: str, model: str = "stub") -> str:
    """Return an agent.py whose editable section is no more than this run_task, and whose fixed part is the real one."""
    shipped = (ROOT / "agent.py").read_text(encoding="utf-8")
    fixed = shipped[shipped.index("# === FIXED ADAPTER BOUNDARY ===") :]
    return f'"""A harness for a test."""\n\n# === EDITABLE SECTION ===\nMODEL = "{model}"\n\n\n{run_task}\n\n\n{fixed}'


def make_workspace(
    folder: Path, *, agent: str, tasks: Mapping[str, Mapping[str, str]] | None = None, settings: str = ""
) -> Workspace:
    """Make a committed workspace; without tasks it has one, `answer`; if not told otherwise the seed's rule keeps."""
    settings = settings if "[decision]" in settings else f"{settings}\n{SEED}"
    files = {"agent.py": agent, "autoagent.toml": on_bubblewrap(settings), ".gitignore": ".autoagent/\nresults.tsv\n"}
    write_tree(folder, files)
    for name, content in (tasks or {"answer": ANSWER_TASK}).items():
        write_tree(folder / "tasks" / name, content)
    commit_all(folder)
    return Workspace(folder=folder)


def copy_shipped(folder: Path, tasks: tuple[str, ...]) -> Workspace:
    """Copy the repository's own workspace with some of its tasks, and commit it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("agent.py", "autoagent.toml", "program.md", ".gitignore"):
        shutil.copy2(ROOT / name, folder / name)
    settings = folder / "autoagent.toml"
    settings.write_text(on_bubblewrap(settings.read_text(encoding="utf-8")), encoding="utf-8")
    if (ROOT / ".agent").is_dir():
        shutil.copytree(ROOT / ".agent", folder / ".agent")
    for name in tasks:
        shutil.copytree(ROOT / "tasks" / name, folder / "tasks" / name)
    commit_all(folder)
    return Workspace(folder=folder)


def commit_all(folder: Path) -> None:
    """Make the folder a repository, where it is none, and commit all that is in it."""
    if not (folder / ".git").exists():
        git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "test")
    git(folder, "config", "user.email", "test@localhost")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "Begin")


def ended(workspace: Workspace, run: str) -> dict[str, bytes]:
    """Return what is on disk of a run's trials that have ended."""
    return {path.parent.name: path.read_bytes() for path in workspace.run(run).glob("*/trial.json")}
