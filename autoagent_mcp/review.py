"""`autoagent-mcp review`: what was kept provisionally is tested beside the baseline, before a person believes it."""

from __future__ import annotations

from rich.console import Console

from autoagent_mcp import config as config_file
from autoagent_mcp.experiment.lab import Lab, open_lab
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.workspace import Workspace

_TOLD_EVERY_SEC = 15.0


async def review(workspace: Workspace) -> None:
    """Run the review to its end, or take up one that was stopped, and print what it showed.

    Raises:
        DecisionRefused: Nothing was kept provisionally.
        LedgerError: A server works on the workspace.
        AutoagentError: The workspace is not ready.
    """
    console = Console(highlight=False)
    settings = config_file.load(workspace.folder)
    async with open_bench(workspace, settings) as bench, open_lab(bench) as lab:
        run = await lab.review()
        console.print(f"Run {run.id}: the incumbent beside the baseline, at most {run.planned_trials} trials.")
        while run.state is RunState.RUNNING:
            run = await lab.wait(run.id, _TOLD_EVERY_SEC)
            console.print(f"  {len(run.trials)} trials")
        _tell(console, lab, run)


def _tell(console: Console, lab: Lab, run: Run) -> None:
    judgement = lab.judgement(run.id)
    if judgement is None:
        console.print(f"The run is {run.state.value}. {run.error} Call it again: only what is missing is run.")
        return
    console.print(judgement.reason)
    low, high = judgement.low_points, judgement.high_points
    console.print(
        f"{judgement.difference_points:+.1f} points of the pass rate, 95 % interval {low:+.1f} to {high:+.1f}"
    )
    incumbent = lab.incumbent()
    if incumbent is not None:
        state = "provisional" if incumbent.is_provisional else "confirmed"
        console.print(f"The incumbent is experiment {incumbent.n} ({state}): {incumbent.description}")
