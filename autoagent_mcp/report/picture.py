"""The progress picture as an image, for clients that show no page: the same as the page's chart, drawn by Vega-Lite.

The library brings a JavaScript engine and its fonts along, so it needs nothing of the machine, but takes 100 MB of
memory while it works: hence a process of its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import anyio

from autoagent_mcp.errors import ReportError
from autoagent_mcp.report.overview import facts, overview, statuses
from autoagent_mcp.report.reading import Reading

Json = dict[str, Any]

_PATIENCE_SEC = 60
_WIDTH, _HEIGHT = 800, 360
_SCALE = 1.25
_MOST_LABELS = 12
_GROUPS = (
    ("kept: first run", ("baseline", "kept", "kept (provisional)"), "diamond", "#0b62a8"),
    ("refused: first run", ("refused", "reverted", "undecided", "crashed"), "circle", "#8a94a3"),
    ("rolled back: first run", ("rolled back",), "cross", "#c2410c"),
    ("open: first run", ("open",), "triangle-up", "#e0a800"),
)
_STEADY = {"interpolate": "step-after", "color": _GROUPS[0][3]}
_LABEL = {"type": "text", "align": "left", "dx": 3, "dy": -12, "fontWeight": "bold", "fontSize": 12}
_HALO = {"stroke": "white", "strokeWidth": 4, "strokeJoin": "round"}
_LOOK = {
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "gridColor": "#e5e8ec"},
    "view": {"stroke": None},
}
_DRAW = """\
import sys, vl_convert
spec = sys.stdin.read()
png = vl_convert.vegalite_to_png(spec, vl_version="5.21", scale=float(sys.argv[1]), allowed_base_urls=[])
sys.stdout.buffer.write(png)
"""


async def picture(reading: Reading) -> bytes:
    """Return the score over the experiments as a PNG: steps where a harness became the incumbent, and each change.

    Raises:
        ReportError: Nothing was measured yet, or the picture cannot be drawn.
    """
    if not reading.reigns:
        raise ReportError("There is no progress to show yet: the baseline has no score.", "Call run_suite first.")
    command = [sys.executable, "-I", "-c", _DRAW, str(_SCALE)]
    try:
        with anyio.fail_after(_PATIENCE_SEC):
            drawn = await anyio.run_process(command, input=json.dumps(spec(reading)).encode(), check=False)
    except TimeoutError as error:
        problem = f"The picture was not drawn within {_PATIENCE_SEC} seconds."
        raise ReportError(problem, "Call again when less goes on.") from error
    if drawn.returncode:
        last = drawn.stderr.decode(errors="replace").strip().splitlines()[-1:]
        problem = f"The picture cannot be drawn: {''.join(last) or drawn.returncode}."
        raise ReportError(problem, "Install autoagent-mcp anew, as its library vl-convert-python does not work.")
    return drawn.stdout


def headline_text(reading: Reading) -> str:
    """Say in a sentence or two what was gained."""
    told = overview(reading)["headline"]
    counts, tried = told["counts"], len(reading.book.experiments) - told["counts"].get("baseline", 0)
    kept = counts.get("kept", 0) + counts.get("kept (provisional)", 0)
    changes = f"{kept} of {tried} changes are kept." if tried else "No change was tried yet."
    if "baseline" not in told:
        return changes
    before, gain = told["baseline"]["interval"].points, told["gain"]
    if gain is None:
        return f"Baseline {before:.1f} % passed. {changes}"
    now, (points, low, high) = told["incumbent"]["interval"].points, gain["interval"]
    is_provisional = " (provisional)" if told["incumbent"]["is_provisional"] else ""
    scores = f"Baseline {before:.1f} %, incumbent #{told['incumbent']['n']}{is_provisional} {now:.1f} % passed"
    return f"{scores}: {points:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}. {changes}"


def spec(reading: Reading) -> Json:
    """Return the picture's description in Vega-Lite's language. Pure."""
    steps = _steps(reading)
    title = {"text": reading.workspace.folder.name, "subtitle": headline_text(reading)}
    axis = {"title": "experiment", "tickMinStep": 1, "format": "d", "grid": False}
    range_of_x = [-0.5, steps[-1]["n"]] if steps else [-0.5, 1]
    scale = {"domain": range_of_x, "nice": False}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": _WIDTH,
        "height": _HEIGHT,
        "padding": 16,
        "background": "white",
        "title": {**title, "anchor": "start", "fontSize": 17, "subtitleFontSize": 13, "offset": 10},
        "config": _LOOK,
        "encoding": {"x": {"field": "n", "type": "quantitative", "axis": axis, "scale": scale}},
        "layer": [
            _layer(steps, {"type": "area", "opacity": 0.13, **_STEADY}, y="low", y2={"field": "high"}),
            _layer(steps, {"type": "line", "strokeWidth": 2.5, **_STEADY}),
            _layer(_dots(reading), {"type": "point", "filled": True, "opacity": 0.9, "size": 45}, **_groups()),
            *(_layer(_labels(reading), {**_LABEL, **ink}, text={"field": "text"}) for ink in (_HALO, {})),
        ],
    }


def _layer(values: Sequence[Json], mark: Json, *, y: str = "score", **encoding: Json) -> Json:
    height = {"field": y, "type": "quantitative", "axis": {"title": "passed, %"}, "scale": {"zero": False}}
    return {"data": {"values": values}, "mark": mark, "encoding": {"y": height, **encoding}}


def _groups() -> Json:
    """Return colour and shape by what became of a change, under one legend."""
    names, _, shapes, colours = zip(*_GROUPS, strict=True)
    legend = {"title": None, "orient": "top", "direction": "horizontal", "symbolSize": 80, "labelFontSize": 12}
    of_change: Json = {"field": "what", "type": "nominal", "legend": legend}
    return {
        "color": {**of_change, "scale": {"domain": names, "range": colours}},
        "shape": {**of_change, "scale": {"domain": names, "range": shapes}},
    }


def _score(reading: Reading, n: int) -> float | None:
    score = reading.book.experiments[n].score
    return 100 * score.passed / score.trials if score and score.trials else None


def _steps(reading: Reading) -> list[Json]:
    """Return at which experiment the incumbent's score became another, and how it stands at the end."""
    last = max(len(reading.book.experiments) - 0.5, 1)
    ends = [(reign.incumbent, float(reign.newest)) for reign in reading.reigns]
    found: list[Json] = []
    for incumbent, n in (*ends, (ends[-1][0], last)):
        interval = facts(reading.book.experiments[incumbent], "", reading.book)["interval"]
        if interval is not None:
            found.append({"n": n, "score": interval.points, "low": interval.low, "high": interval.high})
    return found


def _dots(reading: Reading) -> list[Json]:
    """Return each experiment's first score, where it has one."""
    found: list[Json] = []
    for one, state in zip(reading.book.experiments, statuses(reading), strict=True):
        score = facts(one, state, reading.book)["door"]
        group = next(name for name, states, *_ in _GROUPS if state in states)
        if score and score["trials"]:
            found.append({"n": one.n, "score": 100 * score["passed"] / score["trials"], "what": group})
    return found


def _labels(reading: Reading) -> list[Json]:
    """Return the numbers of what became the incumbent, as many as can be read."""
    apart = len(reading.book.experiments) / _MOST_LABELS
    found: list[Json] = []
    for reign in reading.reigns:
        score, is_first = _score(reading, reign.incumbent), reign.incumbent == reading.book.baseline.n
        if score is not None and (not found or reign.newest - found[-1]["n"] >= apart):
            text = "baseline" if is_first else f"#{reign.incumbent}"
            found.append({"n": reign.newest, "score": score, "text": text})
    return found
