"""What a client's output tells when it has ended: what it complained of, and what it spent.

Clients that were asked for JSON write one event a line; anything else is text. Only the last lines are complaints:
an error further up was got over.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from autoagent_mcp._text import clean
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.night import Spend

_LAST = 20
_LINE_BYTES = 1_000_000
"""A line that is longer is a tool's result, not the client's own account."""
_SHOWN_CHARS = 300
_ACCOUNTS = (b'"result"', b'"turn.completed"', b'"step_finish"')
"""The types of events that say what was spent: Claude Code's and Gemini CLI's, Codex's, opencode's."""

_MOST = 1e15
"""What is said to be more, in dollars or tokens, is no account of anything."""

Event = Mapping[str, Any]
Part = tuple[float | None, float | None, float | None]
"""Cost, tokens in and tokens out, each None where nothing is said of it."""


class Output(Frozen):
    """What is left to know of it."""

    spend: Spend
    errors: tuple[str, ...]
    """What the client itself calls an error."""
    last: tuple[str, ...]
    """Its last lines of plain text."""
    said: str
    """The last words of its agent, or of its last error, out of its events."""

    @property
    def end(self) -> str:
        """The last of it, for people."""
        words = " / ".join(part[-_SHOWN_CHARS:] for part in (*self.last[-2:], self.said) if part)
        return " ".join(clean(words).split())[-_SHOWN_CHARS:]


def read(log: Path) -> Output:
    """Read a client's output; there is none left where the client cleaned up more than its own."""
    last: deque[bytes] = deque(maxlen=_LAST)
    parts: list[Part] = []
    with suppress(FileNotFoundError), log.open("rb") as file:
        while line := file.readline(_LINE_BYTES):
            if line.strip():
                last.append(line)
            if any(name in line for name in _ACCOUNTS) and (event := _event(line)):
                parts.extend(_parts(event))
    ends = [(line, _event(line)) for line in last]
    return Output(
        spend=_spend(parts),
        errors=tuple(json.dumps(event, ensure_ascii=False) for _, event in ends if event and _is_error(event)),
        last=tuple(line.decode(errors="replace").strip() for line, event in ends if event is None),
        said=next((words for _, event in reversed(ends) if event and (words := _said(event))), ""),
    )


def _event(line: bytes) -> Event | None:
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found)


def _is_error(event: Event) -> bool:
    """Say whether the event itself tells of an error; what it quotes, such as a tool's result, does not."""
    kind = event.get("type")
    if kind == "rate_limit_event":  # Claude Code also tells of limits that are far off
        info = event.get("rate_limit_info")
        return isinstance(info, dict) and cast("Event", info).get("status") == "rejected"
    return bool(event.get("error") or event.get("is_error") is True or kind in ("error", "turn.failed"))


def _said(event: Event) -> str:
    error, item, part = (_table(event, key) for key in ("error", "item", "part"))
    places = (event.get("result"), event.get("message"), error.get("message"), item.get("text"), part.get("text"))
    return next((words for words in places if isinstance(words, str)), "")


def _spend(parts: list[Part]) -> Spend:
    cost, given, made = (_sum([part[i] for part in parts]) for i in range(3))
    if cost == 0 and (given or made):  # a model without a price is not one without a cost
        cost = None
    return Spend(
        cost_usd=cost,
        input_tokens=None if given is None else int(given),
        output_tokens=None if made is None else int(made),
    )


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _parts(event: Event) -> Iterator[Part]:
    """Return what an event says was used."""
    kind = event.get("type")
    if kind == "result":
        usage = _table(event, "usage") or _table(event, "stats")
        cached = [_number(usage, f"cache_{what}_input_tokens") or 0 for what in ("read", "creation")]
        given = _number(usage, "input_tokens")
        made = _number(usage, "output_tokens")
        yield _number(event, "total_cost_usd"), None if given is None else given + sum(cached), made
    elif kind == "turn.completed":
        usage = _table(event, "usage")
        yield None, _number(usage, "input_tokens"), _number(usage, "output_tokens")
    elif kind == "step_finish":
        part = _table(event, "part")
        tokens = _table(part, "tokens")
        cache = _table(tokens, "cache")
        given = _sum([_number(tokens, "input"), _number(cache, "read"), _number(cache, "write")])
        yield _number(part, "cost"), given, _sum([_number(tokens, "output"), _number(tokens, "reasoning")])


def _table(event: Event, key: str) -> Event:
    value = event.get(key)
    return cast("Event", value) if isinstance(value, dict) else {}


def _number(event: Event, key: str) -> float | None:
    value = event.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return value if 0 <= value < _MOST else None
