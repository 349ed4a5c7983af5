import json
import re


def parse(text):
    numbers, _, pre = text.partition("-")
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")) if pre else ()
    return tuple(map(int, numbers.split("."))), not pre, parts


def bounds(condition):
    operator, text = re.match(r"(\^|~|!=|>=|<=|>|<|)(.*)", condition).groups()
    version = parse(text)
    major, minor, patch = version[0]
    if operator not in ("^", "~"):
        return [(operator or "=", version)]
    if operator == "~":
        upper = (major, minor + 1, 0)
    else:
        upper = (major + 1, 0, 0) if major else (0, minor + 1, 0) if minor else (0, 0, patch + 1)
    return [(">=", version), ("<", (upper, True, ()))]


HOLDS = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
}


def fits(version, conditions):
    if not version[1] and not any(v[0] == version[0] and not v[1] for _, v in conditions):
        return False
    return all(HOLDS[operator](version, other) for operator, other in conditions)


catalog = json.load(open("catalog.json"))
lock = {}
for line in open("requirements.txt"):
    if line.strip() and not line.startswith("#"):
        name, *conditions = line.split()
        needed = [pair for condition in conditions for pair in bounds(condition)]
        lock[name] = max((v for v in catalog[name] if fits(parse(v), needed)), key=parse, default=None)
json.dump(lock, open("lock.json", "w"), indent=2)
