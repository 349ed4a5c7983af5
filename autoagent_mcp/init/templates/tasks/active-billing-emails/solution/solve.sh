#!/bin/bash
set -e
python3 - <<'END'
import json
users = json.load(open("users.json"))["users"]
emails = sorted(user["contact"]["email"] for user in users if user["active"] and "billing" in user["roles"])
open("emails.txt", "w").write("\n".join(emails) + "\n")
END
