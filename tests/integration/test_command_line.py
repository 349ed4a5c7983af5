"""The command line, as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from autoagent_mcp import __version__


def autoagent(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autoagent_mcp", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, encoding="utf-8")


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert autoagent("--version", folder=tmp_path).stdout.strip() == __version__


def test_an_error_is_two_sentences_and_status_1(tmp_path: Path) -> None:
    done = autoagent("demo", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("There is no agent.py in")
    assert "Traceback" not in done.stderr
