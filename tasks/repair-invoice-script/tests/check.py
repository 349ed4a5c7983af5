"""Passes when the script prints the right amounts for orders that the agent has not seen."""

import json
import subprocess
import tempfile
from pathlib import Path

NAMES = ("net", "discount", "vat", "total")


def right(case, path):
    path.write_text(json.dumps(case["order"]))
    command = ["python3", "invoice.py", str(path)]
    done = subprocess.run(command, cwd="/srv/billing", capture_output=True, text=True, timeout=5, check=True)
    return done.stdout.split() == [word for pair in zip(NAMES, case["expected"]) for word in pair]


cases = json.loads(Path("/tests/cases.json").read_text())
with tempfile.TemporaryDirectory() as folder:
    print(1 if all(right(case, Path(folder) / "order.json") for case in cases) else 0)
