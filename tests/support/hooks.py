"""Asking a hook, as a client does: a process, its JSON, its answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

AUTOAGENT = (sys.executable, "-m", "autoagent_mcp")


def ask(name: str, data: Mapping[str, object] | str, *options: str, cwd: Path | None = None) -> dict[str, Any]:
    """Send a hook's input and return its answer, {} where it has no objection.

    Raises:
        AssertionError: It ended with another status than 0.
    """
    given = data if isinstance(data, str) else json.dumps(data)
    env = {name: value for name, value in os.environ.items() if name != "CLAUDE_PROJECT_DIR"}
    done = subprocess.run(
        [*AUTOAGENT, *options, "hook", name],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
        cwd=cwd,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else {}


def denial(answer: Mapping[str, Any]) -> str:
    """Return the reason with which an edit was refused; empty where it was not."""
    if not answer:
        return ""
    assert answer["hookSpecificOutput"]["permissionDecision"] == "deny"
    return answer["hookSpecificOutput"]["permissionDecisionReason"]
