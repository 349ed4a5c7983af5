"""What trials took, read from their folders: also those that were cancelled, killed, or set aside and tried again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from autoagent_mcp.gateway.meter import Amount, amount_of
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.records import ModelRequest
from autoagent_mcp.models.trial import Trial, TrialFiles, Usage
from autoagent_mcp.trace.records import ModelLine, Records


class Spent(Frozen):
    """What one trial took."""

    usage: Usage
    judge_usage: Usage

    @property
    def total(self) -> Usage:
        """Both together; of unknown cost where one is."""
        return self.usage + self.judge_usage

    @property
    def amount(self) -> Amount:
        """Both together, as far as prices are known."""
        return amount_of(self.usage).plus(amount_of(self.judge_usage))


def spent_in(run: Path) -> tuple[Spent, ...]:
    """Return what each trial in a run's folder took, in no order; reads files.

    Raises:
        OSError: A file cannot be read.
    """
    return tuple(_in_folder(TrialFiles(folder=folder)) for folder in run.glob("*__*/"))


def recorded(files: TrialFiles) -> Spent:
    """Add up a trial's records: a call that was never answered is taken to have cost what was set aside for it.

    Raises:
        OSError: A file cannot be read.
    """
    # By name and not by a search: what lies in artifacts/ was written by a harness.
    places = (files.folder, files.folder / "untouched", *(files.folder / "steps").glob("*"))
    judged = (_sum(Records(TrialFiles(folder=place)).judge_lines()) for place in places)
    return Spent(usage=_sum(Records(files).model_lines()), judge_usage=sum(judged, Usage()))


def _in_folder(files: TrialFiles) -> Spent:
    if files.trial.exists():
        trial = Trial.model_validate_json(files.trial.read_bytes())
        return Spent(usage=trial.usage, judge_usage=trial.judge_usage)
    return recorded(files)


def _sum(lines: Iterable[ModelLine]) -> Usage:
    unanswered: dict[int, Usage] = {}
    total = Usage()
    for line in lines:
        if isinstance(line, ModelRequest):
            unanswered[line.call] = line.reserved
        else:
            unanswered.pop(line.call, None)
            total += line.usage
    return sum(unanswered.values(), total)
