import re
from pathlib import Path


def apply(lines, diff):
    result, position = [], 0
    for line in diff:
        hunk = re.match(r"@@ -(\d+)", line)
        if hunk:
            start = int(hunk[1]) - 1
            result += lines[position:start]
            position = start
        elif line.startswith("+") and not line.startswith("+++"):
            result.append(line[1:])
        elif line.startswith("-") and not line.startswith("---"):
            position += 1
        elif line.startswith(" "):
            result.append(lines[position])
            position += 1
    return result + lines[position:]


text = Path("deploy.yaml.orig").read_text().splitlines()
for name in Path("patches/series").read_text().split("\n"):
    if name and not name.startswith("#"):
        text = apply(text, (Path("patches") / name).read_text().splitlines())
Path("deploy.yaml").write_text("\n".join(text) + "\n")
