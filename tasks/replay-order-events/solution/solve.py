import re
from pathlib import Path

table = {}
for state, action, following in re.findall(r"\| (\w+) \| (\w+) \| (\w+) \|", Path("LIFECYCLE.md").read_text()):
    table[state, action] = following
states, held, rejected = {}, set(), []


def allowed(order, action):
    state = states.get(order)
    if action == "create":
        if state:
            return False
        states[order] = "new"
    elif not state:
        return False
    elif action == "hold":
        if order in held or state in ("cancelled", "closed"):
            return False
        held.add(order)
    elif action == "resume":
        if order not in held:
            return False
        held.remove(order)
    elif order in held or (state, action) not in table:
        return False
    else:
        states[order] = table[state, action]
    return True


for line in sorted(Path("events.log").read_text().splitlines()):
    event, order, action = re.search(r"(E\d+) order=(\S+) action=(\w+)", line).groups()
    if not allowed(order, action):
        rejected.append(event)
rows = [f"{order},{'on hold: ' if order in held else ''}{state}" for order, state in sorted(states.items())]
Path("states.csv").write_text("\n".join(["order,state", *rows]) + "\n")
Path("rejected.txt").write_text("\n".join(rejected) + "\n")
