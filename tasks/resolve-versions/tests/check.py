"""The reward is the share of right packages, at most 0.9 where something is wrong."""

import json
from pathlib import Path


def load(path):
    """Read the answer; a link could lead into /tests."""
    path = Path(path)
    if path.is_symlink() or path.stat().st_size > 1_000_000:
        raise SystemExit("the answer is a link or too large")
    return path.read_text(encoding="utf-8")
found = json.loads(load("/app/lock.json"))
expected = json.loads(Path("/tests/expected.json").read_text())
right = sum(name in found and found[name] == version for name, version in expected.items())
print(1 if found == expected else min(right / len(expected), 0.9))
