"""When to send again, decided once for all trials.

While the provider asks for patience nobody sends: one gate for the whole gateway, closed by whoever is told to wait.
"""

from __future__ import annotations

import email.utils
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

import anyio


@dataclass(frozen=True)
class Backoff:
    """How patient to be with a provider that is busy or failing."""

    tries: int = 8
    """Of one call, the first included: about a minute of a provider that fails for ever."""
    total_sec: float = 300.0
    """No call waits longer than this after its first failure."""
    first_sec: float = 0.5
    longest_sec: float = 30.0
    """The waits double from the first up to this, unless the provider says how long."""
    spread: float = 0.25
    """Each waiter adds up to this part of its wait, so that not all send at the same moment."""


class Gate:
    """Shut while the provider asks for patience."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._opens_at = 0.0
        self._shut_at = 0.0
        self._failures = 0

    async def wait(self) -> None:
        """Wait until the gate is open."""
        while (delay := self._opens_at - anyio.current_time()) > 0:
            spread = random.uniform(0, self._backoff.spread) * delay  # noqa: S311 - no secret
            await anyio.sleep(delay + spread)

    def succeeded(self) -> None:
        """Note that the provider answers."""
        self._failures = 0

    def shut(self, asked_sec: float | None, sent_at: float) -> float:
        """Shut the gate and return when it opens.

        Args:
            asked_sec: How long the provider asked to wait; None where it did not say.
            sent_at: When the failed request was sent. Requests that were under way when the gate was shut fail together
                and are one failure, not one each.
        """
        now = anyio.current_time()
        if sent_at >= self._shut_at:
            self._failures += 1
            self._shut_at = now
        doubled = self._backoff.first_sec * 2 ** (min(self._failures, 20) - 1)
        delay = min(doubled, self._backoff.longest_sec) if asked_sec is None else asked_sec
        self._opens_at = max(self._opens_at, now + min(delay, self._backoff.total_sec))
        return now + delay


def asked_wait_sec(headers: Mapping[str, str]) -> float | None:
    """Read how long to wait: `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110, 10.2.3)."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if (seconds := _number(value)) is not None or value is None:
        return seconds
    try:
        until = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=timezone.utc)
    return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None
