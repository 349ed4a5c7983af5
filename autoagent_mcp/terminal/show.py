"""How the terminal's commands write: nothing that came from elsewhere is markup, an escape or an emoji's name."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoagent_mcp._text import clean

STATE_STYLES = {
    "kept": "green",
    "kept (provisional)": "yellow",
    "refused": "red",
    "crashed": "red",
    "rolled back": "red",
    "undecided": "yellow",
}
NONE = "-"


def console() -> Console:
    """Return where to write: with colours on a terminal alone, and as wide as that is."""
    return Console(highlight=False, markup=False, emoji=False)


def grid() -> Table:
    """Return a table of names and what belongs to them, without lines."""
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def line(text: str, style: str = "") -> Text:
    """Return a text as one line, without what cannot be seen."""
    return Text(" ".join(clean(text).split()), style=style)


def block(text: str, style: str = "") -> Text:
    """Return a text with its lines, without what cannot be seen."""
    return Text(clean(text).expandtabs(4).rstrip(), style=style)


def rate(interval: Any, *, is_whole: bool) -> str:  # noqa: ANN401 - three numbers
    """Return a pass rate in percent, with its interval where that is wanted."""
    points, low, high = interval
    return f"{points:.0f} % ({low:.0f} to {high:.0f})" if is_whole else f"{points:.0f} %"


def usd(cost: float | None, *, is_known: bool = True) -> str:
    """Return a cost, of which only a part, or nothing, may be known."""
    if cost is None or not (cost or is_known):
        return "unknown"
    return f"${cost:.2f}" if is_known else f"${cost:.2f} and more"


def write_json(value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Write JSON in ASCII, so that nothing in it moves a terminal's cursor."""
    sys.stdout.write(json.dumps(value, indent=1).replace("\x7f", "\\u007f") + "\n")
    sys.stdout.flush()  # a reader that is gone is noticed here, where it ends the command in silence
