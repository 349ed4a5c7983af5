"""`autoagent-mcp demo`: the whole loop once, in a copy of the workspace.

The real server runs as a process and is spoken to over stdio; sandboxes, model, git and ledger are real, and every
number that is printed was measured in this run. Only the meta-agent is a script: its two edits of agent.py are fixed
beforehand (`demo_harnesses/`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from autoagent_mcp.errors import AutoagentError, SetupError
from autoagent_mcp.harness.adapter import fixed_part
from autoagent_mcp.harness.boundary import EDITABLE_MARKER
from autoagent_mcp.workspace import Workspace

COPIED = ("agent.py", ".agent", "program.md", "tasks", ".gitignore")
SETTINGS = """\
# The demo's settings: the local model, and the seed's rule (more passed is kept), so that it stays short.
[model]
provider = "local"

[decision]
rule = "seed"

[run]
backend = "{backend}"
"""
BACKEND = "bubblewrap" if sys.platform == "linux" else "docker"
"""On Linux no image has to be fetched first."""
SPOT_TASKS = 3
CALL_TIMEOUT_SEC = 900.0


async def run_demo(workspace: Workspace) -> None:
    """Run the demo and print what happens.

    Raises:
        SetupError: The folder is no workspace.
        AutoagentError: A tool refused what the script asked for.
    """
    console = Console()
    began = time.monotonic()
    copy = await anyio.to_thread.run_sync(_copy, workspace)
    console.print(f"[bold]autoagent-mcp demo[/] in a copy of this workspace: {copy.folder}", soft_wrap=True)
    console.print("The meta-agent is a script and its two edits were written beforehand; every number is measured now.")
    console.print("One run decides here (the seed's rule), so that it stays short; by default fresh trials decide.")
    console.print("The edit that helps was tuned on these very tasks: what it gains says nothing about other ones.")
    async with _meta_agent(copy, console) as agent:
        await _loop(agent, copy)
    console.print(f"\nDone in {time.monotonic() - began:.0f} s. What is left to look at:")
    console.print(
        f"  ledger   {copy.results}\n  traces   {copy.runs}\n  history  git -C {copy.folder} log", soft_wrap=True
    )


class MetaAgent:
    """A scripted client: calls tools, prints what it called and what came back."""

    def __init__(self, client: Client, console: Console) -> None:
        self._client = client
        self.console = console

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Call a tool with a progress bar and return its structured result.

        Raises:
            AutoagentError: The tool answered with an error.
        """
        shown = ", ".join(f"{name}={_short(value)}" for name, value in arguments.items())
        self.console.print(f"[cyan]{tool}[/]({escape(shown)})", soft_wrap=True)
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bars:
            bar = bars.add_task("", total=None, visible=False)

            async def on_progress(progress: float, total: float | None, message: str | None) -> None:
                bars.update(bar, completed=progress, total=total, description=message or "", visible=True)

            result = await self._client.call_tool(
                tool, arguments, read_timeout_seconds=CALL_TIMEOUT_SEC, progress_callback=on_progress
            )
        if result.is_error or result.structured_content is None:
            raise AutoagentError(f"The tool {tool} answered with an error: {result.content}.", "See the server's log.")
        return result.structured_content

    async def measure(self, description: str) -> dict[str, Any]:
        """Run the suite to its end."""
        run = await self.call("run_suite", description=description)
        while run["state"] == "running":
            run = await self.call("wait_run", run=run["run"])
        score = f"[bold]{run['passed']} of {run['total']} passed[/], average {run['avg_score']}"
        self.console.print(f"  run {run['run']}: {score}, cost {run['cost']}")
        return run


async def _loop(agent: MetaAgent, copy: Workspace) -> None:
    console = agent.console
    _title(console, "1. The baseline: agent.py as it is")
    baseline = await agent.measure("The unmodified baseline.")

    _title(console, "2. Read why a trial failed")
    trials = (await agent.call("read_run", run=baseline["run"]))["trials"]
    _show_trace(console, await agent.call("read_trace", run=baseline["run"], trial=trials[0]["trial"]))

    _title(console, "3. An edit that should help")
    console.print(f"  {_edit(copy, 'helps')}")
    spot = [trial["trial"].rpartition("__")[0] for trial in trials[:SPOT_TASKS]]
    checked = await agent.call("spot_check", tasks=spot, description="Does it run at all?", wait_sec=600)
    console.print(f"  {checked['passed']} of {checked['total']} passed")
    run = await agent.measure("Speak to the model in plain text, with examples, and run the command it writes.")
    console.print(f"  became solved: {', '.join(run['solved']) or 'none'}")
    kept = await agent.call(
        "keep_change", reflection="Yes: the model writes commands as text whatever the task is; nothing names a task."
    )
    _show_decision(console, kept)

    _title(console, "4. An edit that hurts")
    console.print(f"  {_edit(copy, 'hurts')}")
    run = await agent.measure("A shorter prompt without examples may do as well.")
    console.print(f"  broke: {', '.join(run['broken']) or 'none'}")
    _show_decision(console, await agent.call("revert_change", lesson="The small model needs the examples."))

    _title(console, "5. The ledger")
    _show_ledger(console, await agent.call("read_ledger"))


@asynccontextmanager
async def _meta_agent(copy: Workspace, console: Console) -> AsyncGenerator[MetaAgent]:
    command = ["-m", "autoagent_mcp", "--workspace", str(copy.folder)]
    server = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
    async with Client(server) as client:
        yield MetaAgent(client, console)


def _copy(workspace: Workspace) -> Workspace:
    """Copy what a workspace is made of into a new folder and commit it there."""
    if not workspace.agent.is_file():
        raise SetupError(f"There is no agent.py in {workspace.folder}.", "Run the demo in a clone of autoagent-mcp.")
    folder = Path(tempfile.mkdtemp(prefix="autoagent-demo-"))
    for name in COPIED:
        source = workspace.folder / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy2(source, folder / name)
    (folder / "autoagent.toml").write_text(SETTINGS.format(backend=BACKEND), encoding="utf-8")
    who = ("-c", "user.name=demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")
    for command in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-q", "-m", "Begin the demo")):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return Workspace(folder=folder)


def edited(agent: str, name: str) -> str:
    """Return agent.py's text with the editable section replaced by a prepared one: `helps` or `hurts`."""
    section = (resources.files("autoagent_mcp") / "demo_harnesses" / f"{name}.py.txt").read_text(encoding="utf-8")
    head, _, _ = agent.partition(EDITABLE_MARKER)
    return f"{head}{section.rstrip()}\n\n\n{fixed_part()}"


def _edit(copy: Workspace, name: str) -> str:
    copy.agent.write_text(edited(copy.agent.read_text(encoding="utf-8"), name), encoding="utf-8")
    return f"edited agent.py: the editable section is now demo_harnesses/{name}.py.txt"


def _title(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/]")


def _show_trace(console: Console, trace: dict[str, Any]) -> None:
    console.print(f"  {trace['trial']}: reward {trace['reward']} {escape(trace['failure'])}")
    for step in trace["steps"][:6]:
        text = step["message"] or "; ".join(step["tool_calls"])
        console.print(f"  [dim]{step['step']:>3} {step['source']:<7}[/] {escape(_short(text, 150))}")


def _show_decision(console: Console, decision: dict[str, Any]) -> None:
    one = decision["experiment"]
    console.print(f"  [bold]{one['decision']}[/]: {escape(one['reason'])} (commit {one['commit']})")


def _show_ledger(console: Console, ledger: dict[str, Any]) -> None:
    table = Table("n", "decision", "passed", "average", "description")
    for one in ledger["experiments"]:
        average = "" if one["avg_score"] is None else f"{one['avg_score']:.3f}"
        table.add_row(str(one["n"]), one["decision"], one["passed"], average, escape(one["description"]))
    console.print(table)


def _short(value: Any, limit: int = 60) -> str:  # noqa: ANN401 - shown only
    text = " ".join(str(value).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
