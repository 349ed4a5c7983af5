"""What clients say of rate limits, and what is made of it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from autoagent_mcp.night.limits import find

NOW = datetime(2026, 10, 8, 22, 30, tzinfo=timezone.utc)


def at(day: int, hour: int, minute: int = 0, month: int = 10) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        (f"Claude AI usage limit reached|{int(at(9, 3).timestamp())}", at(9, 3)),
        (f'{{"type": "rate_limit_event", "resetsAt": {int(at(9, 4).timestamp())}}}', at(9, 4)),
        ("You've hit your session limit · resets 7:50pm (UTC)", at(9, 19, 50)),
        ("You've hit your limit · resets 11pm (Etc/GMT-2)", at(9, 21)),
        ("5-hour limit reached ∙ resets 3am", at(9, 3)),
        ("You've hit your weekly limit · resets Oct 12 at 5pm (UTC)", at(12, 17)),
        ("You've hit your usage limit. Try again at Oct 9th, 2026 3:04 PM.", at(9, 15, 4)),
        ("You've hit your usage limit. Upgrade, or try again in 3 days 1 hour 5 minutes.", at(11, 23, 35)),
        ("Rate limit reached for gpt-5: Please try again in 6m0s.", at(8, 22, 36)),
        ("429 Too Many Requests: Please retry in 35.5s", NOW + timedelta(seconds=35.5)),
        ("You have exhausted your quota. Your quota will reset after 5h12m0s.", at(9, 3, 42)),
        ("Rate limit reached: try again in 500ms", NOW + timedelta(seconds=0.5)),
        ("exceeded retry limit, last status: 429 Too Many Requests", None),
        ("Overloaded", None),
        ("Usage limit reached, resets 5 times", None),
        ("Usage limit reached, resets 13:99pm", None),
        ("Usage limit reached, resets 7pm (Mars/Olympus)", at(9, 19)),
        (f"usage limit reached|{int(at(8, 20).timestamp())}", None),
        ("rate limit, try again in 900 days", None),
        (f"rate limit, try again in {400 * '9'} days", None),
        (f"{80_000 * 'hit your '}limit reached", None),  # seconds, where looking back is not bounded hours
    ],
)
def test_a_limit_is_seen_and_its_end_read(text: str, until: datetime | None) -> None:
    found = find(("first words", text), NOW)
    assert found is not None
    assert found.until == until


@pytest.mark.parametrize("text", ["", "Not logged in", "Request 4290 failed", "Limits are set in autoagent.toml"])
def test_other_complaints_are_no_limits(text: str) -> None:
    assert find((text,), NOW) is None


def test_the_end_may_stand_beside_the_limit() -> None:
    found = find(("It resets 11pm (UTC)", "API Error: Rate limit reached"), NOW)
    assert found is not None
    assert (found.words, found.until) == ("API Error: Rate limit reached", at(8, 23))
