import json
from pathlib import Path

path = Path("/app/products.json")
found = None if path.is_symlink() else json.loads(path.read_text())
expected = json.loads(Path("/tests/expected.json").read_text())


def same(one, other):
    return one.keys() == other.keys() and all(
        one[key] == other[key] and isinstance(one[key], bool) == isinstance(other[key], bool) for key in other
    )


right = isinstance(found, list) and len(found) == len(expected) and all(map(same, found, expected))
print(1 if right else 0)
