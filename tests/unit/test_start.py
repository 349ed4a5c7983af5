"""What a client waits for when it starts the server."""

from __future__ import annotations

import json
import subprocess
import sys

_PRINTS_WHAT_IS_LOADED = """
import json, sys
from pathlib import Path
import autoagent_mcp.cli
from autoagent_mcp.server import Workspace, build_server
build_server(Workspace(folder=Path()))
print(json.dumps(sorted(sys.modules)))
"""
_HEAVY = ("docker", "git", "genai_prices", "pathspec", "packaging", "sqlite3", "tomli", "xllamacpp")
_OURS_HEAVY = ("experiment", "run", "gateway", "harness", "sandbox", "repo", "ledger", "task", "tools.registry")


def test_a_server_is_ready_to_greet_before_anything_is_loaded_that_only_its_tools_need() -> None:
    done = subprocess.run([sys.executable, "-c", _PRINTS_WHAT_IS_LOADED], check=True, capture_output=True, text=True)

    loaded = {*json.loads(done.stdout)}

    assert "autoagent_mcp.server" in loaded
    assert loaded & {*_HEAVY} == set()
    assert loaded & {f"autoagent_mcp.{name}" for name in _OURS_HEAVY} == set()
