import json
from pathlib import Path

path = Path("/srv/export/settings.json")
found = None if path.is_symlink() else json.loads(path.read_text())
expected = json.loads(Path("/tests/expected.json").read_text())
print(1 if json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True) else 0)
