"""The command line as a process, as a person runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def autoagent(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; git's own settings of whoever tests play no part."""
    apart = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = [sys.executable, "-m", "autoagent_mcp", *words]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **apart, **environment},
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
