"""`autoagent-mcp ledger`: the experiments in a table, or one of them with all that is known of it and its diff."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import anyio.to_thread
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoagent_mcp.errors import RepoError, UnknownNameError
from autoagent_mcp.models.experiment import Experiment
from autoagent_mcp.report import diffs
from autoagent_mcp.report.headline import STATUSES
from autoagent_mcp.report.overview import facts, parent_of, statuses
from autoagent_mcp.report.reading import Reading, open_reading
from autoagent_mcp.terminal.show import NONE, STATE_STYLES, block, console, grid, line, rate, usd, write_json
from autoagent_mcp.workspace import Workspace

Json = dict[str, Any]

_NARROW, _WIDE = 72, 110
"""Columns of the terminal: below the one only the most needed are shown, from the other on all are."""
_SIGN_STYLES = {"+": "green", "-": "red", "@": "cyan"}


async def show_ledger(workspace: Workspace, number: int | None, *, state: str, last: int, as_json: bool) -> None:
    """Write the experiments, oldest first, or one of them, also beside a server at work.

    Args:
        workspace: Whose.
        number: The one experiment that is wanted; None for all.
        state: Only those that became this, provisionally or not; "" for all.
        last: At most so many, the newest; 0 for all.
        as_json: Whether to write JSON for scripts.

    Raises:
        LedgerError: There is no ledger yet, or it cannot be read.
        UnknownNameError: There is no such experiment, or nothing can become so.
    """
    known = {name.partition(" (")[0] for name in STATUSES}.union(STATUSES)
    if state and state not in known:
        raise UnknownNameError("status", state, sorted(known))
    async with open_reading(workspace) as reading:
        book = reading.book
        told = [facts(one, name, book) for one, name in zip(book.experiments, statuses(reading), strict=True)]
        if number is not None:
            if not 0 <= number < len(told):
                raise UnknownNameError("experiment", str(number), [str(one["n"]) for one in told[::-1]])
            diff = await _diff(reading, book.experiments[number])
            _write_one({**told[number], "runs": list(book.experiments[number].runs), "diff": diff}, as_json=as_json)
            return
    found = [one for one in told if state in {"", one["status"], one["status"].partition(" (")[0]}][-last:]
    if as_json:
        write_json(found)
    else:
        _write_all(console(), found)


async def _diff(reading: Reading, one: Experiment) -> str:
    """Return what it changes of the incumbent of its time; empty where git cannot tell."""
    parent = parent_of(one, reading.book)
    if reading.repo is None or parent is None:
        return ""
    before = reading.book.experiments[parent]
    try:
        old, new = [(await reading.repo.at(it.candidate.commit)).files for it in (before, one)]
    except RepoError:
        return ""
    files = await anyio.to_thread.run_sync(diffs.diff, old, new)
    return "".join(f"{part}\n" for file in files for part in _file(file))


def _file(file: Json) -> list[str]:
    lines = [f"{sign}{_text(pieces)}" if sign != "@" else f"@@ {old} {new}" for sign, old, new, pieces in file["lines"]]
    return [f"=== {file['path']} ({file['what']}) {file['note']}".rstrip(), *lines]


def _text(pieces: Sequence[Any]) -> str:
    return "".join(piece if isinstance(piece, str) else piece[1] for piece in pieces)


def _write_all(out: Console, found: Sequence[Json]) -> None:
    is_narrow, is_wide = out.width < _NARROW, out.width >= _WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("#", "became", "passed", *(() if is_narrow else ("points", "cost"))):
        table.add_column(name, no_wrap=True, justify="left" if name == "became" else "right")
    table.add_column("what", overflow="fold", ratio=1)
    for one in found:
        shown = [
            str(one["n"]),
            Text(one["status"], STATE_STYLES.get(one["status"], "")),
            _passed(one, is_whole=is_wide),
        ]
        if not is_narrow:
            shown += [
                _points(one, is_whole=is_wide),
                usd(one["spent"]["cost_usd"], is_known=one["spent"]["is_cost_known"]),
            ]
        table.add_row(*shown, line(one["description"]))
    out.print(table if found else line("None."))


def _passed(one: Json, *, is_whole: bool) -> str:
    score = one["score"] or one["door"]
    if score is None:
        return NONE
    shown = f"{score['passed']}/{score['trials']}"
    return f"{shown} {rate(one['interval'], is_whole=True)}" if is_whole and one["interval"] else shown


def _points(one: Json, *, is_whole: bool) -> str:
    judgement = one["judgement"]
    if judgement is None:
        return NONE
    pairs = f" {judgement['wins']}:{judgement['losses']} (E {judgement['evidence']:.1f})" if is_whole else ""
    return f"{judgement['difference_points']:+.1f}{pairs}"


def _write_one(one: Json, *, as_json: bool) -> None:
    if as_json:
        write_json(one)
        return
    out = console()
    out.print(line(f"#{one['n']} {one['description']}", "bold"))
    table = grid()
    for name, value in _details(one):
        if value:
            table.add_row(name, block(value))
    out.print(table)
    for row in one["diff"].splitlines():
        style = "bold" if row.startswith("===") else _SIGN_STYLES.get(row[:1], "")
        out.print(block(row, style), soft_wrap=True)


def _details(one: Json) -> list[tuple[str, str]]:
    judgement, author, prediction = one["judgement"], one["author"], one["prediction"]
    return [
        ("became", one["status"] if one["decided_at"] is None else f"{one['status']} at {one['decided_at']}"),
        ("why", one["reason"] or (judgement["reason"] if judgement else "")),
        ("passed", _passed(one, is_whole=True)),
        ("points", _judged(judgement) if judgement else ""),
        ("kind", ", ".join(one["kind_of_change"])),
        ("beside", f"#{one['parent']}" if one["parent"] is not None else ""),
        ("commit", one["commit"]),
        ("runs", ", ".join(one["runs"])),
        ("cost", usd(one["spent"]["cost_usd"], is_known=one["spent"]["is_cost_known"])),
        ("predicted", _predicted(prediction) if prediction else ""),
        ("reflection", one["reflection"]),
        ("flags", "\n".join(one["cheats"])),
        ("by", " ".join(str(part) for part in author.values() if part) if author else ""),
    ]


def _judged(judgement: Json) -> str:
    return (
        f"{judgement['difference_points']:+.1f} (95 % interval {judgement['low_points']:+.1f} to "
        f"{judgement['high_points']:+.1f}), {judgement['wins']} pairs won, {judgement['losses']} lost, "
        f"{judgement['ties']} tied, evidence {judgement['evidence']:.1f}"
    )


def _predicted(prediction: Json) -> str:
    told = {
        f"{word} {kind}": names
        for kind in ("fixed", "broken")
        for word, names in (("rightly", prediction[kind]["hits"]), ("wrongly", prediction[kind]["misses"]))
    }
    return "; ".join(f"{name}: {', '.join(names)}" for name, names in told.items() if names)
