"""What a client says of its provider's rate limits, and until when. Pure: the time is handed in.

The words are those of Claude Code ("You've hit your session limit - resets 7:50pm (UTC)", "limit reached|1759960800",
the event rate_limit_event with resetsAt), Codex ("try again at Oct 9th, 2026 3:04 PM", "try again in 3 days 1 hour"),
Gemini CLI ("quota will reset after 5h12m3s", "Please retry in 35.46s") and of the providers behind them (429, 529).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from autoagent_mcp._text import clean
from autoagent_mcp.models.base import Frozen

_LIMITED = re.compile(
    r"rate.?limit|usage limit|limit reached|hit your [\w -]{0,40}limit|quota|resource.?exhausted|too many requests"
    r"|overloaded|\b(?:429|529)\b",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"(?:\||resetsAt\W{1,4})(\d{10})\b")
_PART = r"\d+(?:\.\d+)?\s*(?:days?|hours?|minutes?|mins?|seconds?|secs?|ms|[dhms])(?![a-z])"
_AFTER = re.compile(
    rf"(?:again|retry|resets?|available)\b[^.\n]{{0,20}}?\b(?:in|after)\s+((?:{_PART}[\s,]*)+)", re.IGNORECASE
)
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[dhms])", re.IGNORECASE)
_CLOCK = re.compile(
    r"(?:resets?|again|available)(?: at| on)? "
    r"(?:(?P<month>[a-z]{3})[a-z]* (?P<day>\d{1,2})(?:st|nd|rd|th)?(?:,? (?P<year>\d{4}))?,? (?:at )?)?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?: ?(?P<half>[ap])\.?m\.?)?(?: \((?P<zone>[\w/+-]+)\))?",
    re.IGNORECASE,
)
_UNITS_SEC = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONGEST = timedelta(days=32)
"""What is further away was misread: no limit lasts longer than a month."""


class Limit(Frozen):
    """A rate limit that a client met."""

    words: str
    until: datetime | None
    """When it ends, where the client says so."""


def find(complaints: tuple[str, ...], now: datetime) -> Limit | None:
    """Return the last rate limit that a client's complaints name.

    Args:
        complaints: What it said of errors, in its order.
        now: The time, with its zone: "7pm" is the next one, and in this zone where none is named.
    """
    for text in reversed(complaints):
        if found := _LIMITED.search(text):
            start = max(0, found.start() - 100)
            return Limit(words=" ".join(clean(text[start : start + 300]).split()), until=_until(complaints, now))
    return None


def _until(complaints: tuple[str, ...], now: datetime) -> datetime | None:
    for text in reversed(complaints):
        for read in (_epoch, _after, _clock):
            until = read(text, now)
            if until is not None and now < until < now + _LONGEST:
                return until
    return None


def _epoch(text: str, _: datetime) -> datetime | None:
    found = _EPOCH.search(text)
    return datetime.fromtimestamp(int(found[1]), timezone.utc) if found else None


def _after(text: str, now: datetime) -> datetime | None:
    found = _AFTER.search(text)
    if found is None:
        return None
    parts = _PARTS.findall(found[1])
    seconds = sum(float(number) * _UNITS_SEC[unit.lower()] for number, unit in parts)
    return now + timedelta(seconds=seconds) if seconds < _LONGEST.total_seconds() else None


def _clock(text: str, now: datetime) -> datetime | None:
    found = _CLOCK.search(text)
    if found is None or not (found["minute"] or found["half"]):
        return None
    hour = int(found["hour"]) % 12 + 12 * (found["half"].lower() == "p") if found["half"] else int(found["hour"])
    here = now.astimezone(_zone(found["zone"], now))
    try:
        time = here.replace(hour=hour, minute=int(found["minute"] or 0), second=0, microsecond=0)
        if found["month"] is None:
            return time if time > now else time + timedelta(days=1)
        month = _MONTHS.index(found["month"].lower()) + 1
        return time.replace(year=int(found["year"] or here.year), month=month, day=int(found["day"]))
    except ValueError:  # no such day or hour
        return None


def _zone(name: str | None, now: datetime) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else now.tzinfo
    except (ZoneInfoNotFoundError, OSError, ValueError):  # not a name that this machine knows
        return now.tzinfo
