"""The reward is the share of right sections; 1 only where nothing else is in the report."""

from pathlib import Path


def load(path):
    """Read the answer; a link could lead into /tests."""
    path = Path(path)
    if path.is_symlink() or path.stat().st_size > 1_000_000:
        raise SystemExit("the answer is a link or too large")
    return path.read_text(encoding="utf-8")
def sections(text):
    """Split at the headings, without blank lines and spaces around lines."""
    parts = {}
    heading = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            heading = line
        parts.setdefault(heading, []).append(line)
    return parts


found = sections(load("/app/report.md"))
expected = sections(Path("/tests/expected.md").read_text())
graded = [heading for heading in expected if heading.startswith("## ")]
right = sum(found.get(heading) == expected[heading] for heading in graded) / len(graded)
print(1 if found == expected else min(round(right, 3), 0.9))
