"""The command line: the only place that ends the process.

Each command imports what it needs, so that the server is ready before the demo's libraries would be loaded.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer

from autoagent_mcp import __version__
from autoagent_mcp.errors import AutoagentError
from autoagent_mcp.workspace import Workspace

app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)
tasks_app = typer.Typer(help="Work with the tasks.", no_args_is_help=True)
app.add_typer(tasks_app, name="tasks")

Folder = Annotated[Path, typer.Option("--workspace", help="The repository with agent.py, program.md and tasks/.")]


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    workspace: Folder = Path(),
    *,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Serve MCP over stdin and stdout (without a command), for Claude Code, Codex or any MCP client."""
    context.obj = Workspace(folder=workspace.resolve())
    if context.invoked_subcommand is None:
        from autoagent_mcp.server import serve_stdio  # noqa: PLC0415 - see the module's docstring

        anyio.run(serve_stdio, context.obj)


@app.command()
def demo(context: typer.Context) -> None:
    """Go through the whole loop once, with a real server, real sandboxes and the real local model."""
    from autoagent_mcp.demo import run_demo  # noqa: PLC0415 - see the module's docstring

    anyio.run(run_demo, context.obj)


@tasks_app.command()
def check(
    context: typer.Context, names: Annotated[list[str] | None, typer.Argument(help="Only these tasks.")] = None
) -> None:
    """Say for each task whether it can run here, and whether its solution passes and doing nothing does not."""
    from autoagent_mcp.check import check_tasks  # noqa: PLC0415 - see the module's docstring

    is_sound = anyio.run(check_tasks, context.obj, tuple(names or ()))
    raise typer.Exit(0 if is_sound else 1)


def main() -> None:
    """Run the command line; an error that was foreseen ends with its two sentences and status 1."""
    try:
        app()
    except AutoagentError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
