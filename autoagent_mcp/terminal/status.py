"""`autoagent-mcp status`: what was gained, whether to believe it, what it cost and what goes on, on one screen."""

from __future__ import annotations

import os
from typing import Any

import anyio
from pydantic import ValidationError
from rich.console import Console, Group, RenderableType

from autoagent_mcp.errors import UnknownNameError
from autoagent_mcp.models.status import Status
from autoagent_mcp.report.overview import overview
from autoagent_mcp.report.reading import Reading, open_reading
from autoagent_mcp.terminal.show import block, console, grid, line, rate, usd, write_json
from autoagent_mcp.workspace import Workspace

Json = dict[str, Any]

_HIDDEN = {
    "veto": "they vetoed the last keep that they were asked about",
    "worse": "the incumbent is worse on them than the baseline",
    "no veto": "not worse",
    "not asked": "not asked yet",
}


async def show_status(workspace: Workspace, *, as_json: bool) -> None:
    """Write how a workspace stands, also beside a server at work.

    Raises:
        LedgerError: There is no ledger yet, or it cannot be read.
    """
    server = await anyio.to_thread.run_sync(_serving, workspace)
    async with open_reading(workspace) as reading:
        told = {**overview(reading), "server": await _server(reading, server)}
        kept = [{"n": one.n, "description": one.description} for one in reading.book.lineage()[1:]]
    if as_json:
        write_json({**told, "kept": kept})
    else:
        _write(console(), told, kept)


def _serving(workspace: Workspace) -> Status | None:
    """Return what the server that works here said last; None where none does."""
    try:
        status = Status.model_validate_json(workspace.status.read_bytes())
    except (OSError, ValidationError):
        return None
    return status if status.is_serving and _is_alive(status.server_pid) else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return pid > 0


async def _server(reading: Reading, status: Status | None) -> Json | None:
    if status is None:
        return None
    told = status.model_dump(mode="json", include={"server_pid", "running", "done", "next", "updated_at"})
    if status.running is None:
        return told
    try:
        run = (await reading.run(status.running)).run
    except UnknownNameError:
        return told
    return {**told, "trials": len(run.trials), "planned": run.planned_trials, "kind": run.kind.value}


def _write(out: Console, told: Json, kept: list[Json]) -> None:
    out.print(line(f"{told['workspace']}  {told['model']} on {told['backend'] or 'no backend yet'}", "bold"))
    table = grid()
    for name, value in _rows(told):
        table.add_row(name, value)
    if kept:
        table.add_row("kept", Group(*(line(f"#{one['n']} {one['description']}") for one in kept)))
    out.print(table)
    doubts = [*told["headline"].get("doubts", ()), *told["notices"], *told["suite_notices"]]
    if doubts:
        out.print()
        out.print(line("To know before you believe it", "bold"))
        for doubt in doubts:
            out.print(block(f"* {doubt}"))


def _rows(told: Json) -> list[tuple[str, RenderableType]]:
    head = told["headline"]
    rows: list[tuple[str, RenderableType]] = []
    if "baseline" in head:
        rows += _scores(head)
    spent = head["spent"]
    cost = usd(spent["cost_usd"], is_known=spent["is_cost_known"])
    counts = ", ".join(f"{count} {state}" for state, count in head["counts"].items())
    rows += [
        ("spent", line(f"{cost}, {spent['hours']:.1f} hours, {spent['tokens']:,} tokens in {spent['runs']} runs")),
        ("experiments", line(counts or "none")),
        ("server", block(_server_text(told["server"]))),
    ]
    return rows


def _scores(head: Json) -> list[tuple[str, RenderableType]]:
    baseline, incumbent, gain = head["baseline"], head["incumbent"], head["gain"]
    rows: list[tuple[str, RenderableType]] = [("baseline", line(_side(baseline)))]
    if gain is None:
        return [*rows, ("incumbent", line("the baseline: nothing was kept yet"))]
    points, low, high = gain["interval"]
    how = f"pairs of run {gain['run']}" if gain["how"] == "pairs" else "the two scores"
    kept = "provisional" if incumbent["is_provisional"] else "kept for good"
    surety = kept if incumbent["is_judged"] else "decided by one run"
    rows += [
        ("incumbent", line(f"{_side(incumbent)}, #{incumbent['n']}, {surety}: {incumbent['description']}")),
        ("gain", line(f"{points:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}), from {how}", "bold")),
    ]
    if head["hidden"] in _HIDDEN:
        rows.append(("hidden tasks", line(_HIDDEN[head["hidden"]])))
    review = head["review"]
    said = f"run {review['run']}: {review['figures']}. {' '.join(review['believed'])}" if review else "none yet"
    return [*rows, ("review", line(said))]


def _side(side: Json) -> str:
    return f"{rate(side['interval'], is_whole=True)}, {side['passed']} of {side['trials']} trials"


def _server_text(server: Json | None) -> str:
    if server is None:
        return "none is at work"
    goes_on = f"; run {server['running']} goes on" if server["running"] else ""
    if "planned" in server:
        goes_on += f" ({server['kind']}, {server['trials']} of at most {server['planned']} trials)"
    following = f"Done: {server['done']}" if server["done"] else f"Next: {server['next']}"
    return f"process {server['server_pid']} is at work{goes_on}\n{following}"
