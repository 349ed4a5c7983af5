"""`autoagent-mcp promote`: the reviewed winner as a branch, a patch or a folder, with its evidence.

It is one commit on the one where the baseline was, with the incumbent's agent.py and .agent/ and nothing else of the
night. The kept commits themselves stay on the branch where they were kept.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread

from autoagent_mcp import __version__
from autoagent_mcp._text import clean
from autoagent_mcp.errors import DecisionRefused, PromoteError
from autoagent_mcp.experiment.belief import Review, believed, figures, last_review
from autoagent_mcp.experiment.book import Book
from autoagent_mcp.experiment.keeper import commit_of
from autoagent_mcp.models.experiment import Experiment, Outcome
from autoagent_mcp.repo import Editable, Repo
from autoagent_mcp.report.intervals import pass_rate
from autoagent_mcp.report.reading import Reading, open_reading
from autoagent_mcp.workspace import Workspace

EVIDENCE = "evidence.md"
"""In a folder: what a commit's message says."""
_LINE_CHARS = 72
_SHOWN_CHARS = 10
_ELSEWHERE = "Choose another name: nothing is overwritten."


async def promote(
    workspace: Workspace, *, branch: str | None, patch: Path | None, folder: Path | None, is_sure: bool
) -> list[str]:
    """Hand the incumbent over in one of three ways, and say what was made.

    Args:
        workspace: Whose.
        branch: The branch to make.
        patch: The file to write.
        folder: The folder to make.
        is_sure: Whether it is handed over without a review that speaks for it.

    Raises:
        PromoteError: Not one place was named, or it is taken or cannot be written.
        DecisionRefused: Nothing was kept, no review was made, or it speaks against the incumbent.
        RepoError, SetupError: Git hinders it, or there is such a branch.
        LedgerError: There is no ledger yet, or it cannot be read.
    """
    if sum(place is not None for place in (branch, patch, folder)) != 1:
        raise PromoteError("There is not one place to promote to.", "Name a --branch, a --patch or a folder (--to).")
    async with open_reading(workspace) as reading:
        repo = reading.repo or await Repo.open(workspace)
        book = reading.book
        winner = _winner(book, is_sure=is_sure)
        commit = await repo.commit_on(book.baseline.base_commit, commit_of(winner), _message(reading, winner))
        base = book.baseline.base_commit[:_SHOWN_CHARS]
        said = [clean(notice) for notice in reading.notices]
        if branch is not None:
            await repo.make_branch(branch, commit)
            made = f"Branch {branch}: one commit ({commit[:_SHOWN_CHARS]}) on {base}, where the baseline was."
            return [*said, made, f"Look at it with git show {branch}; nothing was merged or pushed."]
        if patch is not None:
            await anyio.to_thread.run_sync(_write_patch, patch, await repo.patch(commit))
            return [*said, f"{patch}: for git apply, or git am, which takes the evidence as the commit's message."]
        if folder is not None:
            await anyio.to_thread.run_sync(_write_folder, folder, await repo.at(commit), _message(reading, winner))
        return [*said, f"{folder}: agent.py, .agent/ where there is one, and {EVIDENCE}."]


def _winner(book: Book, *, is_sure: bool) -> Experiment:
    winner = book.incumbent
    if winner is None or winner.n == book.baseline.n:
        raise DecisionRefused("Nothing was kept yet.", "There is nothing to hand over.")
    review = last_review(book)
    if review is None and not is_sure:
        raise DecisionRefused(
            f"No review has measured the incumbent, experiment {winner.n}, beside the baseline.",
            "Run autoagent-mcp review first, or add --anyway.",
        )
    if review is not None and _speaks_against(review) and not is_sure:
        raise DecisionRefused(
            f"The review of experiment {winner.n} speaks against it. {review.judgement.reason}",
            "Look at autoagent-mcp status; add --anyway to hand it over all the same.",
        )
    return winner


def _speaks_against(review: Review) -> bool:
    return review.judgement.outcome is Outcome.REFUSED or bool(review.judgement.is_worse_on_hidden)


def _message(reading: Reading, winner: Experiment) -> str:
    """Tell what the winner is worth; what a model wrote begins no line, so that none of it can pass for a patch's."""
    book = reading.book
    review = last_review(book)
    gain = f": {review.judgement.difference_points:+.1f} points" if review else ""
    return "\n\n".join(
        (
            f"Take over the harness of experiment {winner.n}{gain}",
            "\n".join(_evidence(book, winner, review)),
            "Kept on the way:",
            "\n".join(_item(_kept(one)) for one in book.lineage()[1:]),
            _filled(f"By autoagent-mcp {__version__}. Candidates and ledger are below refs/autoagent."),
        )
    )


def _evidence(book: Book, winner: Experiment, review: Review | None) -> Iterator[str]:
    for name, one in (("Baseline", book.baseline), ("Incumbent", winner)):
        if one.score is not None:
            rate = pass_rate(one.score.passed, one.score.trials)
            shown = f"{rate.points:.0f} %, 95 % interval {rate.low:.0f} to {rate.high:.0f}"
            yield _item(f"{name}: {one.score.passed} of {one.score.trials} trials passed ({shown}).")
    if review is None:
        yield _item("No review has measured it beside the baseline.")
        return
    yield _item(f"Review beside the baseline (run {review.run}): {figures(review.judgement)}.")
    yield from (_item(sentence) for sentence in believed(review.judgement, review.duel))


def _kept(one: Experiment) -> str:
    gain = f" ({figures(one.judgement)})" if one.judgement else ""
    return f"#{one.n}, {commit_of(one)[:_SHOWN_CHARS]}: {one.description}{gain}"


def _item(text: str) -> str:
    return _filled(text, "* ", "  ")


def _filled(text: str, first: str = "", following: str = "") -> str:
    return textwrap.fill(" ".join(clean(text).split()), _LINE_CHARS, initial_indent=first, subsequent_indent=following)


def _write_patch(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise PromoteError(f"{path} is there already.", _ELSEWHERE) from error
    except OSError as error:
        raise PromoteError(f"{path} cannot be written: {error}.", "Choose another file.") from error


def _write_folder(folder: Path, editable: Editable, message: str) -> None:
    """Write the files to a folder that appears whole."""
    folder = folder.absolute()
    if os.path.lexists(folder):
        raise PromoteError(f"{folder} is there already.", _ELSEWHERE)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise PromoteError(f"{folder} cannot be made: {error}.", "Choose another folder.") from error
    try:
        made = scratch / "made"
        made.mkdir()
        for name, data in editable.files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            if name in editable.executable:
                path.chmod(path.stat().st_mode | 0o111)
        (made / EVIDENCE).write_text(f"# {message}\n", encoding="utf-8")
        made.rename(folder)
    except OSError as error:
        raise PromoteError(f"{folder} cannot be written: {error}.", "Choose another folder.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
