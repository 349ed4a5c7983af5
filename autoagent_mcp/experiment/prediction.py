"""What a meta-agent expected of a change beside what came of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from autoagent_mcp._text import named
from autoagent_mcp.models.experiment import Comparison, Forecast, PredictionScore
from autoagent_mcp.models.run import Prediction

_NAMED = 5


def score(prediction: Prediction, comparison: Comparison) -> PredictionScore:
    """Hold a prediction against what changed beside the incumbent."""
    return PredictionScore(
        fixed=_forecast(prediction.fixed, comparison.solved), broken=_forecast(prediction.broken, comparison.broken)
    )


def line(prediction: Prediction | None, found: PredictionScore | None) -> str:
    """Say in a line what was predicted of a run, and what came of it where that is known."""
    if found is not None:
        return f"{_side('became solved', found.fixed)}. {_side('broke', found.broken)}."
    if prediction is not None:
        return f"Expected to become solved: {_names(prediction.fixed)}. Expected to break: {_names(prediction.broken)}."
    return ""


def _forecast(expected: Sequence[str], happened: Sequence[str]) -> Forecast:
    return Forecast(
        hits=tuple(name for name in expected if name in happened),
        misses=tuple(name for name in expected if name not in happened),
        surprises=tuple(name for name in happened if name not in expected),
    )


def _side(what: str, forecast: Forecast) -> str:
    hits, expected = len(forecast.hits), len(forecast.hits) + len(forecast.misses)
    missed = f" (not {_names(forecast.misses)})" if forecast.misses else ""
    return f"Of {expected} expected {hits} {what}{missed}; unexpected: {_names(forecast.surprises)}"


def _names(names: Sequence[str]) -> str:
    return named(names, _NAMED) or "none"
