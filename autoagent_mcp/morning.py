"""The commands for the morning after: what happened, whether to believe it, and how to take the winner over.

As in `cli`, each imports what it needs.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (status, ledger, trace, report, review, promote):
        app.command()(command)


def status(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Say what was gained, whether to believe it, what it cost and what goes on; also beside a running server."""
    from autoagent_mcp.terminal.status import show_status  # noqa: PLC0415 - see the module's docstring

    anyio.run(partial(show_status, context.obj, as_json=as_json))


def ledger(
    context: typer.Context,
    experiment: Annotated[
        int | None, typer.Argument(help="Its number: all that is known of it, with its diff.")
    ] = None,
    *,
    state: Annotated[
        str, typer.Option("--status", help="Only what became so: kept (also provisionally), refused, reverted, ...")
    ] = "",
    last: Annotated[int, typer.Option(min=0, help="Only so many, the newest; 0: all.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Show the experiments, oldest first: what became of each, how sure that is and what it cost."""
    from autoagent_mcp.terminal.ledger import show_ledger  # noqa: PLC0415 - see the module's docstring

    anyio.run(partial(show_ledger, context.obj, experiment, state=state, last=last, as_json=as_json))


def trace(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run's id, such as 0001 or 1.")],
    task: Annotated[str, typer.Argument(help="The task, or one trial of several: count-words__2.")],
    *,
    is_whole: Annotated[bool, typer.Option("--full", help="Write long texts whole.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a trial step by step: reasoning, calls, results, errors, and what the tests said."""
    from autoagent_mcp.terminal.trace import show_trace  # noqa: PLC0415 - see the module's docstring

    anyio.run(partial(show_trace, context.obj, run, task, is_whole=is_whole, as_json=as_json))


def report(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="The page's folder; a page that is there is replaced. Else .autoagent/report.")
    ] = None,
) -> None:
    """Write a page that shows what happened: what was gained, whether to believe it, and every trial step by step.

    index.html opens from the file system, without server or network, and may be sent alone; the traces lie beside it.
    It works beside a running server.
    """
    from autoagent_mcp.report.writing import write_report  # noqa: PLC0415 - see the module's docstring

    written = anyio.run(write_report, context.obj, out)
    typer.echo(
        f"Experiments: {written.experiments}, trials: {written.trials}, traces: {written.traces}. "
        f"The page has {written.page_bytes / 1e6:.1f} MB, the traces {written.traces_bytes / 1e6:.1f} MB:"
    )
    typer.echo(written.index)


def review(
    context: typer.Context,
    rounds: Annotated[
        int, typer.Option(min=1, max=50, help="Pairs of each task; asked again, there are so many more.")
    ] = 4,
) -> None:
    """Try the incumbent beside the baseline in fresh trials, hidden tasks too, and say what may be believed.

    What was kept provisionally is confirmed, or rolled back where the baseline beats it; else nothing is changed. For
    the morning after: no server may be at work on the workspace meanwhile. Status 1 where it was stopped early.
    """
    from autoagent_mcp.review import review as run_review  # noqa: PLC0415 - see the module's docstring

    raise typer.Exit(1 if anyio.run(run_review, context.obj, rounds) is None else 0)


def promote(
    context: typer.Context,
    branch: Annotated[str | None, typer.Option(help="Make this branch: one commit on the baseline's.")] = None,
    patch: Annotated[Path | None, typer.Option(help="Write this file, for `git apply` or `git am`.")] = None,
    to: Annotated[Path | None, typer.Option(help="Write agent.py and .agent/ to this folder.")] = None,
    *,
    is_sure: Annotated[
        bool, typer.Option("--anyway", help="Also where no review was made, or where it speaks against the incumbent.")
    ] = False,
) -> None:
    """Hand the reviewed winner over, with its evidence: as a branch, a patch or a folder.

    For people. What is there already is never overwritten; nothing is merged or pushed, and your index and working
    tree stay as they are. It works beside a running server.
    """
    from autoagent_mcp.promote import promote as hand_over  # noqa: PLC0415 - see the module's docstring

    told = anyio.run(partial(hand_over, context.obj, branch=branch, patch=patch, folder=to, is_sure=is_sure))
    for line in told:
        typer.echo(line)
