"""What is told of a workspace as a whole, and of each experiment, without its trials: for the page and the terminal."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from autoagent_mcp import __version__
from autoagent_mcp.experiment.book import Book, RunRecord
from autoagent_mcp.models.experiment import Experiment
from autoagent_mcp.models.run import RunKind
from autoagent_mcp.report.headline import headline, spent, status
from autoagent_mcp.report.intervals import pass_rate
from autoagent_mcp.report.reading import Reading

Json = dict[str, Any]

_LEFT_OUT = {"candidate", "score", "runs", "parent"}


def statuses(reading: Reading) -> list[str]:
    """Return what became of each experiment, in order."""
    past = frozenset(reign.incumbent for reign in reading.reigns)
    return [status(one, reading.book, past) for one in reading.book.experiments]


def overview(reading: Reading) -> Json:
    """Return what is told of the workspace."""
    book, config = reading.book, reading.config
    # A spot check's suite is but a few tasks.
    suites = (one.run.suite for one in reversed(book.runs.values()) if one.run.kind is not RunKind.SPOT)
    suite = next(suites, None)
    return {
        "server_version": __version__,
        "workspace": reading.workspace.folder.name,
        "written_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": suite.model if suite else "",
        "backend": suite.backend if suite else "",
        "budget": config.budget.model_dump() if config else {},
        "suite_notices": list(suite.notices) if suite else [],
        "excluded": [one.model_dump() for one in suite.excluded] if suite else [],
        "notices": reading.notices,
        "baseline": book.baseline.n if book.incumbent else None,
        "incumbent": book.incumbent.n if book.incumbent else None,
        "headline": headline(
            book,
            statuses(reading),
            len(suite.tasks) if suite else 0,
            has_hidden=config is not None and config.split is not None,
            is_seed_rule=config is not None and config.decision.rule == "seed",
        ),
    }


def parent_of(one: Experiment, book: Book) -> int | None:
    """Return the experiment that was the incumbent at the time; None for the baseline."""
    parent = book.by_tree(one.parent) if one.parent else None
    return parent.n if parent else None


def facts(one: Experiment, state: str, book: Book) -> Json:
    """Return what is told of an experiment.

    Args:
        one: The experiment.
        state: What became of it.
        book: The ledger.
    """
    records = [book.runs[run] for run in one.runs]
    door = next((record for record in reversed(records) if record.run.kind is RunKind.SUITE), None)
    return {
        **one.model_dump(mode="json", exclude=_LEFT_OUT),
        "status": state,
        "parent": parent_of(one, book),
        "complexity": one.candidate.complexity,
        "commit": (one.kept_commit or one.candidate.commit)[:10],
        "score": one.score.model_dump(exclude={"tasks", "usage"}) if one.score else None,
        "interval": pass_rate(one.score.passed, one.score.trials) if one.score else None,
        "door": _door(door),
        "spent": spent([record.run for record in records]),
    }


def _door(record: RunRecord | None) -> Json | None:
    """Return what an experiment's first trials of the whole suite gave; None before they have ended."""
    if record is None or not record.is_measured:
        return None
    return {"run": record.run.id, **record.score.model_dump(exclude={"tasks", "usage"})}
