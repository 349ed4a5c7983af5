"""The command line: the only place that ends the process.

Each command imports what it needs, so that the server is ready before the demo's libraries would be loaded.
"""

from __future__ import annotations

import os
import re
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import anyio
import typer

from autoagent_mcp import __version__
from autoagent_mcp.errors import AutoagentError
from autoagent_mcp.morning import add_commands
from autoagent_mcp.workspace import Workspace

app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)
tasks_app = typer.Typer(help="Work with the tasks.", no_args_is_help=True)
app.add_typer(tasks_app, name="tasks")

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
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
    meta_model: Annotated[
        str | None, typer.Option(help="The meta-agent's model, for the ledger; or set AUTOAGENT_META_MODEL.")
    ] = None,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Serve MCP over stdin and stdout (without a command), for Claude Code, Codex or any MCP client."""
    context.obj = Workspace(folder=workspace.resolve())
    if meta_model is not None:
        os.environ["AUTOAGENT_META_MODEL"] = meta_model
    if context.invoked_subcommand is None:
        from autoagent_mcp.server import serve_stdio  # noqa: PLC0415 - see the module's docstring

        anyio.run(serve_stdio, context.obj)


@app.command()
def demo(context: typer.Context) -> None:
    """Go through the whole loop once, with a real server, real sandboxes and the real local model."""
    from autoagent_mcp.demo import run_demo  # noqa: PLC0415 - see the module's docstring

    anyio.run(run_demo, context.obj)


@app.command()
def gateway(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen on 127.0.0.1; 0 takes a free one.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Where to record the calls; else in a new folder below .autoagent/gateway.")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, help="Stop at the budget of so many trials; else at that of one suite run (tasks x attempts)."
        ),
    ] = None,
) -> None:
    """Serve the pinned model to runs by other tools, metered and recorded, until SIGINT or SIGTERM.

    The only line on stdout is `export OPENAI_BASE_URL=... OPENAI_API_KEY=... ANTHROPIC_BASE_URL=...
    ANTHROPIC_API_KEY=...`, written once the model is served. In bash:

    exec 3< <(exec autoagent-mcp gateway); gateway=$!; read -r line <&3 && eval "$line";
    PYTHONPATH=. harbor run -p tasks -a agent:AutoAgent; kill $gateway

    What was used is told on stderr at the end.
    """
    from autoagent_mcp.gateway.outside import serve_outside  # noqa: PLC0415 - see the module's docstring

    anyio.run(partial(serve_outside, context.obj, port=port, out=out, trials=trials))


@app.command()
def http(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="The address to listen on; any but loopback needs a given token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free one.")] = 8765,
    token_file: Annotated[
        Path | None,
        typer.Option(help="The token that clients must show; else AUTOAGENT_HTTP_TOKEN, or one kept in your state."),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A name that clients may call this server by, such as that of a proxy."),
    ] = None,
) -> None:
    """Serve MCP over streamable HTTP to several clients at once, until SIGINT or SIGTERM.

    The only line on stdout is the address, written once it listens. There is no TLS: see docs/deployment.md.
    """
    from autoagent_mcp.streamable_http.serve import serve_http  # noqa: PLC0415 - see the module's docstring

    anyio.run(partial(serve_http, context.obj, host=host, port=port, token_file=token_file, names=tuple(names or ())))


@tasks_app.command()
def check(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Only these tasks.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list for scripts.")] = False,
) -> None:
    """Say for each task whether it can run here, and whether its solution passes and doing nothing does not.

    The tasks are those of autoagent.toml's tasks_dir: a folder of Harbor tasks, or a single one. A task that is broken
    makes the status 1; one that cannot run here, or has no solution, does not.
    """
    from autoagent_mcp.check import check_tasks  # noqa: PLC0415 - see the module's docstring

    is_sound = anyio.run(partial(check_tasks, context.obj, tuple(names or ()), as_json=as_json))
    raise typer.Exit(0 if is_sound else 1)


@app.command()
def export(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run's id, such as 0001.")],
    folder: Annotated[Path, typer.Argument(help="The folder to make; it must not exist.")],
    form: Annotated[Literal["harbor"], typer.Option("--format", help="What to write.")] = "harbor",  # noqa: ARG001 - the only one
) -> None:
    """Write a run that has ended as a Harbor job, which `harbor view` and Harbor's other readers open."""
    from autoagent_mcp.export.harbor import export_run  # noqa: PLC0415 - see the module's docstring

    export_run(context.obj, run, folder)


@app.command()
def accept_changes(
    context: typer.Context, *, is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Show what was changed behind the server's back, and accept it: until then no change of the harness is kept.

    For people. It works beside a running server, which takes the word in at its next call and enters it in the ledger.
    """
    from autoagent_mcp import accept  # noqa: PLC0415 - see the module's docstring

    things = anyio.run(accept.waiting, context.obj)
    if not things:
        typer.echo("Nothing waits to be accepted.")
        return
    for thing in things:
        typer.echo(accept.line(thing))
    if not is_sure:
        typer.confirm("Is all of that as it should be?", abort=True)
    accept.accept(context.obj, things)
    typer.echo("Accepted; the server takes it in at its next call.")


@app.command()
def stop(
    context: typer.Context,
    *,
    is_undone: Annotated[bool, typer.Option("--undo", help="Take it back: runs may start again.")] = False,
) -> None:
    """End the loop, for people: no run starts any more, and one under way ends within a second; its trials stay.

    It works beside a running server and without one, and holds until it is taken back. What it ended is taken up again
    by the call that began it.
    """
    from autoagent_mcp import stop as stopping  # noqa: PLC0415 - see the module's docstring

    if is_undone:
        typer.echo("Runs may start again." if stopping.undo(context.obj) else "Nobody had said stop.")
        return
    stopping.stop(context.obj)
    typer.echo("Stopped. Take it back with: autoagent-mcp stop --undo")


@app.command()
def init(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Argument(help="Made where it is missing; else where you are.")] = None,
    harness: Annotated[Literal["openai", "claude"], typer.Option(help="Whose SDK agent.py uses.")] = "openai",
) -> None:
    """Make a workspace in a new folder or an existing repository; nothing that is there is overwritten."""
    from autoagent_mcp.init.init import init as make  # noqa: PLC0415 - see the module's docstring
    from autoagent_mcp.init.told import lines  # noqa: PLC0415 - see the module's docstring

    for line in lines(make(folder.resolve() if folder else context.obj.folder, harness)):
        typer.echo(line)


@app.command()
def doctor(
    context: typer.Context,
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list for scripts.")] = False,
) -> None:
    """Look whether a night can begin: git, sandboxes, model, tasks, permissions. Changes nothing; status 1 if not."""
    from autoagent_mcp.doctor.doctor import examine  # noqa: PLC0415 - see the module's docstring
    from autoagent_mcp.doctor.told import show  # noqa: PLC0415 - see the module's docstring

    findings = anyio.run(partial(examine, context.obj, is_offline=offline))
    raise typer.Exit(0 if show(findings, as_json=as_json) else 1)


@app.command()
def connect(
    context: typer.Context,
    client: Annotated[
        str, typer.Argument(help="claude-code, claude-desktop, codex, gemini, opencode, cursor or vscode.")
    ],
    *,
    write: Annotated[bool, typer.Option("--write", help="Write it into the client's file; else print it.")] = False,
    user: Annotated[bool, typer.Option("--user", help="For all of the user's projects, not this one alone.")] = False,
    workspace: Annotated[Path | None, typer.Option(help="The workspace that the client is to work on.")] = None,
) -> None:
    """Print or write the configuration with which a client starts this server on the workspace."""
    from autoagent_mcp.connect.connect import connect as make  # noqa: PLC0415 - see the module's docstring
    from autoagent_mcp.connect.told import show  # noqa: PLC0415 - see the module's docstring

    place = Workspace(folder=workspace.resolve()) if workspace else context.obj
    show(make(place, client, for_user=user, is_write=write), is_write=write)


@app.command()
def hook(
    context: typer.Context,
    name: Annotated[Literal["stop", "guard"], typer.Argument(help="stop (event Stop) or guard (event PreToolUse).")],
) -> None:
    """Answer a hook of Claude Code or Codex, whose JSON is on stdin.

    stop keeps the client at work while a loop is on, its budget is left and something happens; guard refuses edits of
    tasks, settings, ledger and agent.py's fixed section. The client's folder says which workspace is meant.
    """
    from autoagent_mcp.hook.command import run  # noqa: PLC0415 - see the module's docstring

    run(name, workspace=str(context.obj.folder))


@app.command()
def night(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND", help="The client's command; {brief} stands for the prompt, else it is added."
        ),
    ] = None,
    *,
    client: Annotated[
        str, typer.Option(help="Without a COMMAND: claude-code, codex, gemini or opencode, by its template.")
    ] = "",
    model: Annotated[str, typer.Option(help="The client's model: for its template, and for the ledger.")] = "",
    until: Annotated[str, typer.Option(metavar="HH:MM", help="When it ends at the latest, by the local clock.")] = "",
    hours: Annotated[
        float | None, typer.Option(min=0, max=8760, help="After how many hours it ends at the latest.")
    ] = None,
    retry_sec: Annotated[
        float, typer.Option(min=0, help="The first wait after a start without result; the next take twice as long.")
    ] = 15,
    grace_sec: Annotated[
        float, typer.Option(min=0, help="What the client gets to end by itself, before each stronger signal.")
    ] = 20,
) -> None:
    """Let a client work all night: start it with the brief, and again when it stops before the budget does.

    It ends when the budget is used up, at the hour, at `autoagent-mcp stop`, and on SIGINT or SIGTERM; then nothing of
    the client is left running. The output of each start and a record of the night are in .autoagent/night.
    """
    from autoagent_mcp.night.command import run_night  # noqa: PLC0415 - see the module's docstring

    wishes = partial(run_night, context.obj, tuple(command or ()), client=client, model=model)
    raise typer.Exit(anyio.run(partial(wishes, until=until, hours=hours, retry_sec=retry_sec, grace_sec=grace_sec)))


@app.command()
def view(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen on 127.0.0.1; 0 takes a free one.")] = 0,
) -> None:
    """Serve the report's page on this machine, updating by itself while a night goes on, until SIGINT or SIGTERM.

    The only line on stdout is the address to open, with a token that lets in who has it. Nothing can be changed there.
    It works beside a running server, and before the first run.
    """
    from autoagent_mcp.view.serve import serve_view  # noqa: PLC0415 - see the module's docstring

    anyio.run(partial(serve_view, context.obj, port=port))


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no age such as 30m, 12h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@app.command()
def clean(
    older_than: Annotated[
        timedelta, typer.Option(parser=_age, metavar="AGE", help="How old at least: 30m, 12h, 7d.")
    ] = "7d",  # pyright: ignore[reportArgumentType] - typer parses it
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove what this tool made and nobody uses: images, caches, what killed servers left; nothing of others."""
    from autoagent_mcp.clean import clean as remove  # noqa: PLC0415 - see the module's docstring

    anyio.run(partial(remove, older_than, is_rehearsal=dry_run))


add_commands(app)


def main() -> None:
    """Run the command line; an error that was foreseen ends with its two sentences and status 1."""
    try:
        app()
    except AutoagentError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
