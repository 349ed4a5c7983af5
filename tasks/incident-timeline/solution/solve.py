import csv
import json
import re
from datetime import datetime, timedelta, timezone

entries = []
for line in open("gateway.log"):
    time, level, message = line.rstrip().split(" ", 2)
    if level == "ERROR":
        entries.append((datetime.fromisoformat(time).astimezone(timezone.utc), "gateway", message))
for line in open("database.log"):
    time, level, message = re.match(r"(\w+ \d+ [\d:]+) \S+ \S+ <(\w+)>: (.*)", line).groups()
    if level in ("err", "crit"):
        local = datetime.strptime("2024 " + time, "%Y %b %d %H:%M:%S")
        entries.append(((local + timedelta(hours=4)).replace(tzinfo=timezone.utc), "database", message))
for line in open("worker.log"):
    entry = json.loads(line)
    if entry["severity"] <= 3:
        entries.append((datetime.fromtimestamp(entry["ts"] // 1000, timezone.utc), "worker", entry["msg"]))
with open("timeline.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["time_utc", "source", "message"])
    for time, source, message in sorted(entries):
        writer.writerow([time.strftime("%Y-%m-%dT%H:%M:%SZ"), source, message])
