"""What a person may believe after a review: the incumbent beside the baseline, in words. Pure."""

from __future__ import annotations

from typing import NamedTuple

from autoagent_mcp.experiment.book import Book
from autoagent_mcp.experiment.evidence import CONFIRMED
from autoagent_mcp.models.experiment import Judgement, Outcome
from autoagent_mcp.models.run import Duel, RunKind


class Review(NamedTuple):
    """A review that was judged."""

    run: str
    duel: Duel
    judgement: Judgement


_HIDDEN = {
    None: "No hidden task was asked, so nothing is known of tasks that nobody could fit a change to.",
    False: "The hidden tasks, which no change could be fitted to, do not speak against it.",
    True: "On the hidden tasks it does worse: what was gained seems to be fitted to the visible ones.",
}


def believed(judgement: Judgement, duel: Duel) -> tuple[str, ...]:
    """Say what a review shows, a sentence for each thing: how sure it is, how large, and whether it carries over."""
    return _surety(judgement, duel), _size(judgement, duel), _HIDDEN[judgement.is_worse_on_hidden]


def figures(judgement: Judgement) -> str:
    """Return the difference with its interval and the pairs that it comes from."""
    pairs = judgement.wins + judgement.losses + judgement.ties
    return (
        f"{judgement.difference_points:+.1f} points of the pass rate (95 % interval {judgement.low_points:+.1f} to "
        f"{judgement.high_points:+.1f}) in {pairs} pairs: {judgement.wins} won, {judgement.losses} lost, "
        f"{judgement.ties} tied"
    )


def _surety(judgement: Judgement, duel: Duel) -> str:
    if judgement.outcome is Outcome.REFUSED:
        kept = (
            "It was kept for good before, so nothing was rolled back." if duel.is_fixed_size else "It is rolled back."
        )
        return f"The baseline is probably the better harness. {kept}"
    if judgement.evidence >= CONFIRMED:
        odds = f"luck would show as much in at most 1 of {CONFIRMED:.0f} reviews of a harness that is no better"
        if judgement.outcome is Outcome.KEPT:
            return f"The incumbent is better than the baseline on the visible tasks: {odds}."
        return f"The incumbent does better on these tasks ({odds}), and yet it is not confirmed."
    if judgement.low_points > 0:
        return "The incumbent is probably better than the baseline on the visible tasks, but that is not proven."
    return "Nothing is proven: the difference between incumbent and baseline may be luck."


def _size(judgement: Judgement, duel: Duel) -> str:
    shown = f"The gain is between {judgement.low_points:+.1f} and {judgement.high_points:+.1f} points (95 % interval)"
    if duel.is_fixed_size:
        return f"{shown}; all pairs that were planned were tried, so this leans to neither side."
    return f"{shown}; the pairs ended as soon as they decided, so this leans to whoever was ahead."


def last_review(book: Book) -> Review | None:
    """Return the review of the incumbent that was judged last; None where there is none."""
    for record in reversed(book.runs.values()):
        run, judgement = record.run, book.judged(record.run.id)
        is_its = book.incumbent is not None and record.experiment == book.incumbent.n
        if run.kind is RunKind.REVIEW and is_its and run.duel is not None and judgement is not None:
            return Review(run.id, run.duel, judgement)
    return None
