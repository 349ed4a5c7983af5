"""The reward is the share of the three sections that are right."""

import json
from pathlib import Path


def load(path):
    """Read the answer; a link could lead into /tests."""
    path = Path(path)
    if path.is_symlink() or path.stat().st_size > 1_000_000:
        raise SystemExit("the answer is a link or too large")
    return path.read_text(encoding="utf-8")
found = json.loads(load("/app/reconciliation.json"))
expected = json.loads(Path("/tests/expected.json").read_text())
print(round(sum(found.get(section) == expected[section] for section in expected) / len(expected), 3))
