"""What `connect` prints: the configuration alone on stdout, so that it can be piped; the rest on stderr."""

from __future__ import annotations

import typer

from autoagent_mcp.connect.connect import Connection


def show(made: Connection, *, is_write: bool) -> None:
    """Say what was written, or what is to be put where, and what comes next."""
    if not is_write:
        typer.echo(made.text, nl=False)
        typer.echo(f"This belongs into {made.file}; --write puts it there and leaves the rest as it is.", err=True)
    elif made.is_written:
        typer.echo(f"Written into {made.file}.", err=True)
    else:
        typer.echo(f"{made.file} has it already.", err=True)
    typer.echo(made.then, err=True)
