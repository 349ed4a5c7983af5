"""Tasks by experiments: what each harness did with each task. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from autoagent_mcp.models.experiment import Experiment
from autoagent_mcp.models.run import Run
from autoagent_mcp.models.trial import Arm, Trial

SOLVED, FLAKY, FAILED, UNMEASURED = "s", "f", "x", "."
"""Passed always, sometimes, never; no trial that counts."""
_BETTER = {SOLVED: "S", FLAKY: "F"}
_WORSE = {FLAKY: "G", FAILED: "X"}


def tried(run: Run, experiment: int, trial: Trial) -> int:
    """Return whose harness a trial of an experiment's run tried: in a duel the opponent has trials, too."""
    return run.duel.opponent if run.duel is not None and trial.arm is Arm.INCUMBENT else experiment


class Cells:
    """Adds up trials by the harness that was tried and the task."""

    def __init__(self) -> None:
        self._found: defaultdict[int, dict[str, tuple[int, int]]] = defaultdict(dict)

    def add(self, run: Run, experiment: int) -> None:
        """Take in a run's trials."""
        for trial in run.trials:
            if trial.counts:
                of_harness = self._found[tried(run, experiment, trial)]
                passed, attempts = of_harness.get(trial.task, (0, 0))
                of_harness[trial.task] = (passed + trial.passed, attempts + 1)

    def row(self, experiment: Experiment, parent: int | None, tasks: Mapping[str, int]) -> str:
        """Return one letter for each task, in the order of `tasks`.

        A capital letter tells that the share of passed trials is not that of the incumbent at the time, `parent`:
        better with S and F, worse with X and with G, which is flaky.
        """
        before = self._found[parent] if parent is not None else {}
        return "".join(_letter(self._found[experiment.n].get(task), before.get(task)) for task in tasks)


def _letter(now: tuple[int, int] | None, before: tuple[int, int] | None) -> str:
    if now is None:
        return UNMEASURED
    passed, attempts = now
    letter = SOLVED if passed == attempts else FLAKY if passed else FAILED
    if before is None or passed * before[1] == before[0] * attempts:
        return letter
    is_better = passed * before[1] > before[0] * attempts
    return (_BETTER if is_better else _WORSE)[letter]
