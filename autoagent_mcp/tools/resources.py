"""The workspace as MCP resources: what the read tools show, for clients that let a person attach it.

A resource that stands for itself cannot be given the request's context, so all of these reach the lab by the door that
they were registered with. Each is bounded as a tool's result is, and those that go on say how.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote as percent_encoded

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

from autoagent_mcp.errors import AutoagentError, UnknownNameError
from autoagent_mcp.experiment.files import PROGRAM
from autoagent_mcp.experiment.lab import Lab
from autoagent_mcp.tools.boundary import Answer, Door, told
from autoagent_mcp.tools.files import file_view
from autoagent_mcp.tools.suite import run_trials
from autoagent_mcp.tools.text import ANSWER_LIMIT_CHARS, clip
from autoagent_mcp.tools.traces import trace_view
from autoagent_mcp.tools.views import IdleView, ledger_view, task_view
from autoagent_mcp.tools.waiting import view

_SCHEME = "autoagent://"
_JSON = "application/json"
_COUNT = re.compile("[1-9][0-9]{0,7}")
_COMPLETIONS = 100
"""The protocol's limit for one answer."""


def add_resources(server: MCPServer[Any], door: Door) -> None:
    """Offer program, harness, ledger, tasks, runs, traces and progress."""
    _add_files(server, door)
    _add_experiments(server, door)


async def complete(
    door: Door,
    ref: PromptReference | ResourceTemplateReference,
    argument: CompletionArgument,
    context: CompletionContext | None,
) -> Completion:
    """Complete the name of a run, a trial of the run that is named already, a task or a file."""
    run = ((context.arguments if context else None) or {}).get("run", "")
    names: Sequence[str] = ()
    if isinstance(ref, ResourceTemplateReference):
        names = await _names(door, argument.name, run)
    found = [name for name in names if name.startswith(argument.value)]
    return Completion(values=found[:_COMPLETIONS], total=len(found), has_more=len(found) > _COMPLETIONS)


def _add_files(server: MCPServer[Any], door: Door) -> None:
    async def part(name: str, line: str = "1") -> str:
        async with _opened(door) as lab:
            found = await file_view(lab, name, _counted("line", line))
        if found.last_line == found.lines:
            return found.text
        more = f"{_SCHEME}harness/{percent_encoded(name)}?line={found.last_line + 1}"
        return f"{found.text}\n[lines {found.first_line} to {found.last_line} of {found.lines}; more: {more}]\n"

    @server.resource(f"{_SCHEME}program", title="program.md", mime_type="text/markdown")
    async def program() -> str:
        """The person's directions for the meta-agent."""
        return await part(PROGRAM)

    @server.resource(f"{_SCHEME}harness", title="agent.py", mime_type="text/x-python")
    async def harness() -> str:
        """The harness as it is now."""
        return await part("agent.py")

    @server.resource(f"{_SCHEME}harness/{{+file}}{{?line}}", title="A file", mime_type="text/plain")
    async def harness_file(file: str, line: str = "1") -> str:
        """agent.py, a file of .agent/ or program.md, from a line on."""
        return await part(file, line)


def _add_experiments(server: MCPServer[Any], door: Door) -> None:
    @server.resource(f"{_SCHEME}ledger", title="Ledger", mime_type=_JSON)
    async def ledger() -> str:
        """The newest experiments."""
        return await ledger_page("1")

    @server.resource(f"{_SCHEME}ledger{{?page}}", title="Ledger by page", mime_type=_JSON)
    async def ledger_page(page: str = "1") -> str:
        """Experiments, newest first, 10 a page."""
        async with _opened(door) as lab:
            return _json(lab, ledger_view(lab.experiments(), None, _counted("page", page)))

    @server.resource(f"{_SCHEME}progress", title="Progress", mime_type=_JSON)
    async def progress() -> str:
        """The run that goes on now, or what to do next."""
        async with _opened(door) as lab:
            run = await lab.running()
            return _json(lab, await view(lab, run) if run else IdleView(next=(await lab.brief()).next))

    @server.resource(f"{_SCHEME}tasks/{{task}}", title="Task", mime_type=_JSON)
    async def task(task: str) -> str:
        """What a task asks for, and how it went so far."""
        async with _opened(door) as lab:
            histories, _ = await lab.tasks()
            by_name = {one.task.name: one for one in histories}
            if task not in by_name:
                raise UnknownNameError("task", task, by_name)
            return _json(lab, task_view(by_name[task]))

    @server.resource(f"{_SCHEME}runs/{{run}}{{?page}}", title="Run", mime_type=_JSON)
    async def run(run: str, page: str = "1") -> str:
        """A run trial by trial."""
        async with _opened(door) as lab:
            return _json(lab, await run_trials(lab, run, _counted("page", page)))

    @server.resource(f"{_SCHEME}runs/{{run}}/{{trial}}{{?page}}", title="Trace", mime_type=_JSON)
    async def trace(run: str, trial: str, page: str = "1") -> str:
        """A trial step by step."""
        async with _opened(door) as lab:
            return _json(lab, await trace_view(lab, run, trial, _counted("page", page)))


@asynccontextmanager
async def _opened(door: Door) -> AsyncGenerator[Lab]:
    """Give the lab, and turn our errors into those whose text the client sees."""
    try:
        lab = await door.lab()
        await lab.look()
        yield lab
    except UnknownNameError as error:
        raise ResourceNotFoundError(clip(str(error), ANSWER_LIMIT_CHARS)) from error
    except AutoagentError as error:
        raise ResourceError(clip(str(error), ANSWER_LIMIT_CHARS)) from error


def _json(lab: Lab, answer: Answer) -> str:
    return told(answer, lab.notes()).model_dump_json(indent=2)


def _counted(what: str, text: str) -> int:
    if _COUNT.fullmatch(text):
        return int(text)
    raise ResourceError(f"{clip(what, 20)} must be a number from 1 on.")


async def _names(door: Door, argument: str, run: str) -> Sequence[str]:
    try:
        lab = await door.lab()
        if argument == "run":
            return [run for one in reversed(lab.experiments()) for run in reversed(one.runs)]
        if argument == "trial":
            return [one.id for one in (await lab.run(run)).trials]
        if argument == "task":
            return [one.task.name for one in (await lab.tasks())[0]]
        return (await lab.read_file(PROGRAM)).files if argument == "file" else []
    except AutoagentError:
        return []
