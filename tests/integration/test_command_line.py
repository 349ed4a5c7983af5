"""The command line, as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.workspaces import ANSWER_TASK, NO_MODEL, ROOT, harness, make_workspace

from autoagent_mcp import __version__

SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1")
IDLES = "async def run_task(environment, instruction):\n    pass"


def autoagent(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autoagent_mcp", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, encoding="utf-8")


def without(*names: str) -> dict[str, str]:
    return {path: text for path, text in ANSWER_TASK.items() if path not in names}


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert autoagent("--version", folder=tmp_path).stdout.strip() == __version__


def test_the_shipped_tasks_are_all_sound() -> None:
    done = autoagent("tasks", "check", folder=ROOT)
    count = len(list((ROOT / "tasks").iterdir()))
    assert count >= 36
    assert f"{count} of {count} tasks that can run here are sound; 0 cannot run here." in done.stdout
    assert done.returncode == 0


def test_tasks_check_names_what_is_odd_about_each_and_fails_where_one_is_broken(tmp_path: Path) -> None:
    odd = {
        "fine": ANSWER_TASK,
        "given-away": {**ANSWER_TASK, "tests/test.sh": "#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n"},
        "misspelt": {**ANSWER_TASK, "task.toml": "[enviroment]\nmemory_mb = 512\n"},
        "no-solution": without("solution/solve.sh"),
        "runs-make": {**ANSWER_TASK, "environment/Dockerfile": "FROM x\nRUN make [all]\n"},
    }
    make_workspace(tmp_path, agent=harness(IDLES), tasks=odd, settings=SETTINGS)
    done = autoagent("--workspace", str(tmp_path), "tasks", "check", folder=tmp_path.parent)
    said = " ".join(done.stdout.split())
    assert "2 of 4 tasks that can run here are sound; 1 cannot run here." in said
    for words in ("enviroment", "no solution", "RUN make [all]", "broken"):
        assert words in said
    assert done.returncode == 1


def test_an_error_is_two_sentences_and_status_1(tmp_path: Path) -> None:
    done = autoagent("demo", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("There is no agent.py in")
    assert "Traceback" not in done.stderr
