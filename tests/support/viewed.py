"""`autoagent-mcp view` as a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def viewed(workspace: Path) -> Generator[str]:
    """Serve a workspace's page, yield its address, and see that it ends in order when it is told to."""
    command = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(workspace), "view"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            assert process.wait(30) == 0
