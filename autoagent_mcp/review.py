"""`autoagent-mcp review`: the incumbent beside the baseline in fresh trials, before a person believes in it.

What it shows on the hidden tasks is printed and lies in the user's state folder; the ledger gets one bit of it.
"""

from __future__ import annotations

from rich.console import Console

from autoagent_mcp import config as config_file
from autoagent_mcp._io import FileLock
from autoagent_mcp._text import clean
from autoagent_mcp.errors import LedgerError
from autoagent_mcp.experiment.belief import believed, figures
from autoagent_mcp.experiment.hidden import HiddenPairs
from autoagent_mcp.experiment.lab import Lab, open_lab
from autoagent_mcp.models.experiment import Judgement
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.workspace import Workspace

_TOLD_EVERY_SEC = 15.0


async def review(workspace: Workspace, rounds: int) -> Judgement | None:
    """Run the review to its end, or take up one that was stopped, and print what it showed.

    Args:
        workspace: Whose.
        rounds: Pairs of each task; see `Confirmation.review`.

    Returns:
        What it showed; None where it was stopped before it had.

    Raises:
        DecisionRefused: Nothing was kept yet, the budget is used up, or a person said stop.
        LedgerError: A server works on the workspace.
        AutoagentError: The workspace is not ready.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    settings = config_file.load(workspace.folder)
    async with open_bench(workspace, settings) as bench, open_lab(bench) as lab:
        if not lab.is_writing:
            raise LedgerError(
                f"A server works on this workspace ({FileLock(workspace.lock).holder()}).",
                "End its client, or it, and call review again: one at a time may run trials.",
            )
        run = await lab.review(rounds)
        console.print(f"Run {run.id}: the incumbent beside the baseline, at most {run.planned_trials} trials.")
        while run.state is RunState.RUNNING:
            run = await lab.wait(run.id, _TOLD_EVERY_SEC)
            console.print(f"  {len(run.trials)} trials")
        return await _tell(console, lab, run)


async def _tell(console: Console, lab: Lab, run: Run) -> Judgement | None:
    judgement = lab.judgement(run.id)
    if run.state is not RunState.COMPLETE or run.duel is None or judgement is None:
        console.print(f"The run is {run.state.value}. {clean(run.error)} Call it again: only what is missing is run.")
        return None
    console.print(f"\n{judgement.reason}")
    console.print(f"Visible tasks: {figures(judgement)}.")
    hidden = await lab.hidden_pairs(run)
    if hidden is not None:
        console.print(f"{_hidden_figures(hidden)} Only you see this line: keep it from the client.")
    console.print("\nWhat may be believed:")
    for sentence in believed(judgement, run.duel):
        console.print(f"* {sentence}")
    incumbent = lab.incumbent()
    if incumbent is not None:
        state = "provisional" if incumbent.is_provisional else "kept for good"
        description = " ".join(clean(incumbent.description).split())
        console.print(f"\nThe incumbent is experiment {incumbent.n} ({state}): {description}")
    return judgement


def _hidden_figures(pairs: HiddenPairs) -> str:
    return (
        f"{pairs.tasks} hidden tasks: {pairs.difference_points:+.1f} points (95 % interval {pairs.low_points:+.1f} to "
        f"{pairs.high_points:+.1f}); {pairs.wins} pairs won, {pairs.losses} lost, {pairs.ties} tied."
    )
