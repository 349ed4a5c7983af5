"""Text for a model's context."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoagent_mcp._text import QUOTE_CLOSES, QUOTE_OPENS, clean, clip, one_line, quote, size

CUT_CHARS = 50
"""What the note about a cut takes."""
LETTERS = f'ab"\\\n\t\r{QUOTE_OPENS}{QUOTE_CLOSES}\x1b[]0m;\x07\u200b\u202e\U000e0041\ud800\x00'
HOSTILE = st.text(st.sampled_from(LETTERS))


@given(HOSTILE, st.integers(10, 200))
def test_a_quotation_cannot_be_ended_by_what_is_quoted(text: str, limit: int) -> None:
    quoted = quote(text, limit)
    assert not quoted or (quoted[0], quoted[-1]) == (QUOTE_OPENS, QUOTE_CLOSES)
    assert quoted.count(QUOTE_OPENS) == quoted.count(QUOTE_CLOSES) == bool(quoted)


def test_a_line_that_is_cut_inside_a_quotation_closes_it() -> None:
    text = f"It crashed: {quote('some words and more', 100)}. Mend it."
    assert one_line(text, 20) == f"It crashed: {QUOTE_OPENS}some wo{QUOTE_CLOSES}..."
    assert one_line(text, 40) == f"{text[:40]}..."
    assert one_line(" a\n b ", 3) == "a b"


@given(HOSTILE, st.integers(10, 200))
def test_a_cut_text_takes_no_more_than_its_limit_in_json(text: str, limit: int) -> None:
    cut = clip(text, limit)
    assert len(json.dumps(cut, ensure_ascii=False)) - 2 == size(cut) <= limit + CUT_CHARS


@pytest.mark.parametrize(
    "hidden",
    [
        "\x1b[31m",
        "\x1b]0;title\x07",
        "\x00",
        "\x9b",
        "\u200b",
        "\u202e",
        "\u2066",
        "\ufeff",
        "\u00ad",
        "\U000e0049\U000e0067",
        "\ufe01",
        "\U000e0101",
        "\u2028",
        "\ud800",
    ],
)
def test_what_cannot_be_seen_is_removed(hidden: str) -> None:
    assert clean(f"a{hidden}b") == "ab"


def test_what_can_be_seen_stays() -> None:
    text = "naïve \u2713 日本語 \U0001f600\n\tend"
    assert clean(text) == clip(text, 100) == text


def test_a_cut_says_how_much_is_gone_and_keeps_a_quotation_closed() -> None:
    cut = clip(f"It said: {quote('x' * 100, 200)} Mend it.", 60)
    assert "characters cut" in cut
    assert cut.count(QUOTE_OPENS) == cut.count(QUOTE_CLOSES) == 2
    assert cut.endswith("Mend it.")
