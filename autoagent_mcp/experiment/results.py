"""results.tsv: the ledger for people, in AutoAgent's columns. Pure."""

from __future__ import annotations

from autoagent_mcp.experiment.book import Book
from autoagent_mcp.models.experiment import Decision, Experiment

COLUMNS = ("commit", "avg_score", "passed", "task_scores", "cost_usd", "status", "description")


HEADER = "\t".join(COLUMNS) + "\n"


def row(book: Book, experiment: Experiment) -> str:
    """Return an experiment's line; empty where it was neither measured on the suite, nor crashed, nor was decided.

    `passed` is passed/trials, `task_scores` a JSON object of each task's mean reward, `status` keep, discard or crash;
    a candidate that is not decided yet is a discard whose description says so.
    """
    score = experiment.score
    if not (score or experiment.decision or _crashed(book, experiment)):
        return ""
    columns = (
        (experiment.kept_commit or experiment.candidate.commit)[:7],
        "" if score is None or score.avg_score is None else f"{score.avg_score:.4f}",
        f"{score.passed}/{score.trials}" if score else "",
        book.task_scores.get(experiment.n, ""),
        _cost(book, experiment),
        _status(book, experiment),
        _description(experiment),
    )
    return "\t".join(columns) + "\n"


def _status(book: Book, experiment: Experiment) -> str:
    if experiment.decision is Decision.KEEP:
        return "keep"
    return "crash" if experiment.decision is Decision.CRASH or _crashed(book, experiment) else "discard"


def _description(experiment: Experiment) -> str:
    judged = experiment.judgement.outcome.value if experiment.judgement else "not decided"
    kept = "provisional" if experiment.is_provisional else ""
    state = {None: judged, Decision.KEEP: kept}.get(experiment.decision, experiment.reason)
    text = f"{experiment.description} ({state})" if state else experiment.description
    return " ".join(text.split())


def _cost(book: Book, experiment: Experiment) -> str:
    """What all its runs cost together."""
    costs = [book.runs[run].score.usage.cost_usd for run in experiment.runs]
    known = [cost for cost in costs if cost is not None]
    return f"{sum(known):.4f}" if len(known) == len(costs) else "unknown"


def _crashed(book: Book, experiment: Experiment) -> bool:
    return bool(experiment.runs) and bool(book.runs[experiment.runs[-1]].crash)
