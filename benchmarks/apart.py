"""Measurements in processes of their own, so that their CPU and memory are their own."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Meter:
    """Runs from when it is made; CPU is this process's and its ended children's."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._cpu_sec = _cpu_sec()

    def cost(self, trials: int) -> dict[str, Any]:
        """Return what it took for that many trials: the wall, CPU per trial, and this process's peak memory."""
        return {
            "wall_sec": time.monotonic() - self._began,
            "cpu_per_trial_sec": (_cpu_sec() - self._cpu_sec) / trials,
            "server_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def run_apart(script: Path, *words: str) -> dict[str, Any]:
    """Run a script in a process of its own and return the object on its last line."""
    done = subprocess.run([sys.executable, str(script), *words], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{script.name} {' '.join(words)} failed with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def median(rounds: Sequence[dict[str, Any]], key: str) -> float:
    """Return the median of what rounds gave under a key."""
    return statistics.median(one[key] for one in rounds)


def _cpu_sec() -> float:
    both = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in both)
