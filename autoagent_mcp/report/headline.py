"""The first screen in numbers: what was gained, whether to believe it, what it cost. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from autoagent_mcp.experiment.belief import believed, figures, last_review
from autoagent_mcp.experiment.book import Book, RunRecord
from autoagent_mcp.experiment.duel import NOT_ON_HIDDEN
from autoagent_mcp.experiment.evidence import FEWEST_TASKS
from autoagent_mcp.models.experiment import Decision, Experiment, Judgement, Outcome
from autoagent_mcp.models.run import Run, RunKind
from autoagent_mcp.models.trial import Usage
from autoagent_mcp.report.intervals import Interval, difference, pass_rate

Json = dict[str, Any]

STATUSES = (
    "baseline", "kept", "kept (provisional)", "rolled back", "refused", "undecided", "reverted", "crashed", "open",
)  # fmt: skip
"""What `status` returns."""


def status(experiment: Experiment, book: Book, past: frozenset[int]) -> str:
    """Return what became of an experiment, in one or two words.

    Args:
        experiment: The one.
        book: The ledger.
        past: What was ever an incumbent.
    """
    if experiment.decision is Decision.KEEP:
        if book.incumbent is not None and experiment.n == book.baseline.n:
            return "baseline"
        return "kept (provisional)" if experiment.is_provisional else "kept"
    if experiment.decision is Decision.CRASH:
        return "crashed"
    if experiment.decision is Decision.REVERT and experiment.n in past:
        return "rolled back"
    judged = experiment.judgement
    if judged is not None and judged.outcome in {Outcome.REFUSED, Outcome.UNDECIDED}:
        return judged.outcome.value
    return "reverted" if experiment.decision is Decision.REVERT else "open"


def headline(book: Book, statuses: Sequence[str], tasks: int, *, has_hidden: bool, is_seed_rule: bool) -> Json:
    """Return the first screen's numbers; without a baseline there is no score among them."""
    counts: Json = {"counts": dict(Counter(statuses)), "spent": spent([record.run for record in book.runs.values()])}
    incumbent = book.incumbent
    if incumbent is None or incumbent.score is None or book.baseline.score is None:
        return counts
    baseline = book.baseline
    before, now = (pass_rate(one.score.passed, one.score.trials) for one in (baseline, incumbent) if one.score)
    return {
        **counts,
        "baseline": _side(baseline, before),
        "incumbent": _side(incumbent, now),
        "gain": None if incumbent.n == baseline.n else _gain(book, incumbent, before, now),
        "hidden": _hidden(book) if has_hidden else "none",
        "review": _review(book),
        "doubts": _doubts(incumbent, tasks, is_seed_rule=is_seed_rule, is_reviewed=last_review(book) is not None),
    }


def spent(runs: Sequence[Run]) -> Json:
    """Add up what runs took; where a price is not known the rest is still told."""
    total = sum((run.spent for run in runs), Usage())
    return {
        "cost_usd": sum(run.spent.cost_usd or 0.0 for run in runs),
        "is_cost_known": total.cost_usd is not None,
        "tokens": total.tokens,
        "model_calls": total.model_calls,
        "hours": sum(run.duration_sec for run in runs) / 3600,
        "runs": len(runs),
    }


def _side(experiment: Experiment, rate: Interval) -> Json:
    score = experiment.score
    return {
        "n": experiment.n,
        "description": experiment.description,
        "is_provisional": experiment.is_provisional,
        "is_judged": experiment.judgement is not None,
        "interval": rate,
        "passed": score.passed if score else 0,
        "trials": score.trials if score else 0,
        "avg_score": score.avg_score if score else None,
    }


def _gain(book: Book, incumbent: Experiment, before: Interval, now: Interval) -> Json:
    """Return the gain over the baseline: pair by pair where the two were tried side by side, else of the two scores."""
    duel = _last_judged(book, of=incumbent.n)
    if duel is not None and duel[0].run.duel is not None and duel[0].run.duel.opponent == book.baseline.n:
        judgement = duel[1]
        shown = Interval(judgement.difference_points, judgement.low_points, judgement.high_points)
        return {"interval": shown, "how": "pairs", "run": duel[0].run.id, "evidence": judgement.evidence}
    return {"interval": difference(before, now), "how": "scores"}


def _last_judged(book: Book, *, of: int | None = None) -> tuple[RunRecord, Judgement] | None:
    """Return the duel that was judged last, of all or of one experiment."""
    for record in reversed(book.runs.values()):
        judgement = book.judged(record.run.id)
        if judgement is not None and of in {None, record.experiment}:
            return record, judgement
    return None


def _hidden(book: Book) -> str:
    """Return the one bit that hidden tasks gave last; "not asked" before they had their say.

    "veto" and "no veto" of a keep; of a review beside the baseline "worse" and "no veto".
    """
    for record in reversed(book.runs.values()):
        judgement = book.judged(record.run.id)
        if judgement is not None and judgement.is_worse_on_hidden is not None:
            return "worse" if judgement.is_worse_on_hidden else "no veto"
        if record.run.kind is not RunKind.CONFIRM or judgement is None:
            continue
        if NOT_ON_HIDDEN in judgement.reason:
            return "veto"
        if judgement.outcome in {Outcome.KEPT, Outcome.PROVISIONAL}:
            return "no veto"
    return "not asked"


def _review(book: Book) -> Json | None:
    """Return what the incumbent's last review showed, and what may be believed of it."""
    found = last_review(book)
    if found is None:
        return None
    run, duel, judgement = found
    said = believed(judgement, duel)
    return {"run": run, "figures": figures(judgement), "believed": said, "reason": judgement.reason}


def _doubts(incumbent: Experiment, tasks: int, *, is_seed_rule: bool, is_reviewed: bool) -> list[str]:
    """Say what speaks against believing the numbers as they stand."""
    said = {
        "One run decided each keep (rule = seed), so a keep may be luck and the score of what was kept is too high.": (
            is_seed_rule and incumbent.parent is not None
        ),
        "The incumbent is kept provisionally: autoagent-mcp review tests it beside the baseline.": (
            incumbent.is_provisional
        ),
        "Nobody has measured the incumbent beside the baseline again: autoagent-mcp review does.": (
            incumbent.parent is not None and not incumbent.is_provisional and not is_reviewed
        ),
        f"There are {tasks} tasks; with fewer than {FEWEST_TASKS} no change of usual size can be proven.": (
            tasks < FEWEST_TASKS
        ),
        f"{incumbent.score.unmeasured if incumbent.score else 0} of the incumbent's trials measured nothing.": (
            incumbent.score is not None and incumbent.score.unmeasured > 0
        ),
    }
    return [sentence for sentence, holds in said.items() if holds]
