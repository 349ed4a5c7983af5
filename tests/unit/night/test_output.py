"""What a client's output tells of its spending and its errors."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from autoagent_mcp.models.night import Spend
from autoagent_mcp.night.output import Output, read

CLAUDE = {
    "type": "result",
    "is_error": False,
    "total_cost_usd": 1.25,
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 5, "output_tokens": 7},
}
OPENCODE = {
    "type": "step_finish",
    "part": {
        "cost": 0.5,
        "tokens": {"total": 120, "input": 60, "output": 15, "reasoning": 5, "cache": {"write": 0, "read": 40}},
    },
}
QUOTED = {"type": "user", "content": 'a file with {"type": "result", "total_cost_usd": 99} and error 429'}


def output(folder: Path, *lines: object) -> Output:
    log = folder / "1.log"
    log.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines), encoding="utf-8")
    return read(log)


@pytest.mark.parametrize(
    ("lines", "spend"),
    [
        ([QUOTED, CLAUDE, "bye"], Spend(cost_usd=1.25, input_tokens=115, output_tokens=7)),
        (
            [{"type": "turn.completed", "usage": {"input_tokens": 3, "output_tokens": 4}}] * 2,
            Spend(input_tokens=6, output_tokens=8),
        ),
        (
            [
                {**CLAUDE, "total_cost_usd": cost, "usage": {"input_tokens": cost, "output_tokens": 1}}
                for cost in (math.inf, math.nan, -5, 10**300)
            ],
            Spend(output_tokens=4),
        ),
        (['{"type": ["result"], "usage": {}}', '{"type": {"result": 1}}'], Spend()),
        (
            [{"type": "result", "stats": {"input_tokens": 3, "output_tokens": 4}}],
            Spend(input_tokens=3, output_tokens=4),
        ),
        ([OPENCODE] * 2, Spend(cost_usd=1.0, input_tokens=200, output_tokens=40)),
        ([{"type": "step_finish", "part": {"cost": 0, "tokens": {"input": 1}}}], Spend(input_tokens=1)),
        ([{"type": "result", "total_cost_usd": "much"}, '{"type": "result"', '["result"]'], Spend()),
        ([], Spend()),
    ],
)
def test_what_a_client_reports_is_taken_and_nothing_else(tmp_path: Path, lines: list[object], spend: Spend) -> None:
    assert output(tmp_path, *lines).spend == spend


@pytest.mark.parametrize(
    "event",
    [
        {"type": "result", "is_error": True, "result": "limit"},
        {"type": "turn.failed", "error": {"message": "limit"}},
        {"type": "error", "message": "limit"},
        {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "rateLimitType": "limit"}},
    ],
)
def test_the_clients_own_errors_are_told(tmp_path: Path, event: object) -> None:
    (error,) = output(tmp_path, QUOTED, event, CLAUDE).errors
    assert "limit" in error


def test_an_error_that_was_got_over_is_none(tmp_path: Path) -> None:
    far_off = {"type": "rate_limit_event", "rate_limit_info": {"status": "allowed_warning"}}
    assert output(tmp_path, {"type": "error", "message": "429"}, *[QUOTED] * 20, far_off).errors == ()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({**CLAUDE, "result": "I am done."}, "I am done."),
        ({"type": "error", "message": "not logged in"}, "not logged in"),
        ({"type": "turn.failed", "error": {"message": "no such model"}}, "no such model"),
        ({"type": "item.completed", "item": {"type": "agent_message", "text": "All good."}}, "All good."),
        ({"type": "text", "part": {"text": "Good night."}}, "Good night."),
    ],
)
def test_the_last_words_are_found_in_events(tmp_path: Path, event: object, words: str) -> None:
    assert output(tmp_path, "Reading stdin", event, {"type": "turn.completed"}).end == f"Reading stdin / {words}"


def test_the_last_words_are_kept_short(tmp_path: Path) -> None:
    found = output(tmp_path, *(f"line {n} " + "x" * 400 for n in range(50)))
    assert len(found.last) == 20
    assert len(found.end) == 300
