import csv
import io
from pathlib import Path


def load(path):
    """Read the answer; a link could lead into /tests."""
    path = Path(path)
    if path.is_symlink() or path.stat().st_size > 1_000_000:
        raise SystemExit("the answer is a link or too large")
    return path.read_text(encoding="utf-8")
def rows(text):
    return [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text.strip())) if row]


print(1 if rows(load("/srv/incident/timeline.csv")) == rows(Path("/tests/expected.csv").read_text()) else 0)
