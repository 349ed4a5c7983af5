import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

busy = []
for path in Path("calendars").glob("*.ics"):
    text = path.read_text()
    sign, hours, minutes = re.search(r"X-UTC-OFFSET:([+-])(\d\d):(\d\d)", text).groups()
    ahead = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    for event in text.split("BEGIN:VEVENT")[1:]:
        if "STATUS:CANCELLED" not in event:
            times = re.findall(r"DT(?:START|END):(\S+)", event)
            busy.append([datetime.strptime(time, "%Y%m%dT%H%M%S") - ahead for time in times])
position, end = datetime(2024, 9, 12, 7), datetime(2024, 9, 12, 17)
slots = []
for start, stop in [*sorted(busy), (end, end)]:
    if min(start, end) - position >= timedelta(minutes=45):
        slots.append(f"{position:%H:%M}-{min(start, end):%H:%M}")
    position = max(position, stop)
Path("slots.txt").write_text("\n".join(slots) + "\n")
