"""What the harness host learns of a process by looking at it from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

from autoagent_mcp.harness.inside import inspection

ALONE = """
import sys
from autoagent_mcp.harness.inside import kernel
kernel.enter_namespaces(kernel.NEW_MOUNTS | kernel.NEW_NET | kernel.NEW_IPC)
print("alone", flush=True)
sys.stdin.read()
"""


@contextmanager
def process_of_its_own() -> Generator[int]:
    words = [sys.executable, "-c", ALONE]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "alone\n"
        yield process.pid
        process.kill()


def test_what_has_died_gives_its_namespaces_to_nobody_while_they_are_held() -> None:
    with process_of_its_own() as pid:
        held = inspection.hold_spaces(pid)
        spaces = inspection.spaces(pid) - inspection.spaces(os.getpid())
    try:
        for _ in range(5):
            with process_of_its_own() as later:
                assert not spaces & inspection.spaces(later)
    finally:
        inspection.release_spaces(held)
