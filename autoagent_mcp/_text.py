"""Text from elsewhere, made fit for a model's context: free of what cannot be seen, cut to size, and quoted.

What came out of a sandbox, a model or a verifier stands between QUOTE_OPENS and QUOTE_CLOSES. The text itself can hold
neither, so it cannot end its quotation and go on as if the server spoke.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

QUOTE_OPENS, QUOTE_CLOSES = "\u27e6", "\u27e7"
"""Mathematical white square brackets: rare elsewhere, and one character each."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_UNSEEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and newline
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # soft hyphen, joiners, fillers
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # no width, line separators, direction marks
    "\ufe00-\ufe0f\U000e0000-\U000e0fff"  # variation selectors and tags, in which whole sentences can be hidden
    "\ud800-\udfff"  # halves of pairs, which are no text
    "]"
)
_QUOTES = str.maketrans({QUOTE_OPENS: "[[", QUOTE_CLOSES: "]]"})
_ESCAPED = frozenset('"\\\n\t')
"""What takes two characters in JSON, of what `clean` leaves."""


def clean(text: str) -> str:
    """Remove terminal escapes, control characters and all that is invisible; newlines and tabs stay."""
    return _UNSEEN.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def size(text: str) -> int:
    """Return how many characters a clean text takes in JSON, without its quotation marks."""
    return len(text) + sum(map(text.count, _ESCAPED))


def clip(text: str, limit_chars: int) -> str:
    """Clean a text and cut its middle out where it takes more than `limit_chars` in JSON, saying how much is gone.

    A quotation in it that is cut is closed, and opened again.
    """
    text = clean(text)
    if size(text) <= limit_chars:
        return text
    head = text[: _fitting(text[:limit_chars], limit_chars * 2 // 3)]
    tail = text[len(text) - _fitting(text[: -limit_chars - 1 : -1], limit_chars - limit_chars * 2 // 3) :]
    closing = tail.find(QUOTE_CLOSES)
    closed = QUOTE_OPENS if closing >= 0 and QUOTE_OPENS not in tail[:closing] else ""
    return f"{_closed(head)}\n[... {len(text) - len(head) - len(tail)} characters cut ...]\n{closed}{tail}"


def quote(text: str, limit_chars: int) -> str:
    """Clip a text and put it between the marks of a quotation, which it can neither open nor close; "" stays ""."""
    text = clean(text).translate(_QUOTES)
    return f"{QUOTE_OPENS}{clip(text, limit_chars)}{QUOTE_CLOSES}" if text.strip() else ""


def one_line(text: str, limit_chars: int) -> str:
    """Make one line of a text and cut its end off where it is longer; a quotation in it that is cut is closed."""
    text = " ".join(text.split())
    return text if len(text) <= limit_chars else f"{_closed(text[:limit_chars])}..."


def named(names: Sequence[str], most: int) -> str:
    """List the first `most` names, and say how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _closed(head: str) -> str:
    return head + QUOTE_CLOSES if head.rfind(QUOTE_OPENS) > head.rfind(QUOTE_CLOSES) else head


def _fitting(text: str, limit_chars: int) -> int:
    """Return how many characters of `text` take at most `limit_chars` in JSON."""
    sizes = accumulate(2 if one in _ESCAPED else 1 for one in text)
    return sum(1 for taken in sizes if taken <= limit_chars)
