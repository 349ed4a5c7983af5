"""The tasks, and whoever else is at work here."""

from __future__ import annotations

import fcntl
import os

from autoagent_mcp._io import FileLock
from autoagent_mcp._text import named
from autoagent_mcp.config import Config
from autoagent_mcp.doctor.finding import Finding, failed, ok, warning
from autoagent_mcp.errors import AutoagentError, SetupError, TaskError
from autoagent_mcp.run.suite import build_suite
from autoagent_mcp.sandbox.base import Backend
from autoagent_mcp.task.split import IN_NAME_ONLY, load_hidden, load_visible
from autoagent_mcp.workspace import Workspace

_NAMED = 3


def tasks(workspace: Workspace, config: Config, backend: Backend) -> Finding:
    """Count the tasks that can run, and say why others cannot."""
    try:
        found = load_visible(workspace.folder, config)
        able, suite = build_suite(
            found.usable, found.excluded, attempts=config.run.attempts, config=config, backend=backend
        )
    except AutoagentError as error:
        return failed("tasks", error)
    left_out = [f"{one.task} ({'; '.join(one.reasons)})" for one in suite.excluded]
    if not able:
        problem = f"None of the {len(left_out)} folders in {config.tasks_dir} can run: {named(left_out, _NAMED)}."
        return failed("tasks", TaskError(problem, "`autoagent-mcp tasks check` says more of each."))
    said = f"{len(able)} tasks can run on {backend.name}"
    if not left_out:
        return ok("tasks", said)
    return warning(
        "tasks",
        f"{said}, {len(left_out)} cannot: {named(left_out, _NAMED)}",
        "`autoagent-mcp tasks check` says more; the runs leave them out.",
    )


def hidden(workspace: Workspace, config: Config) -> Finding:
    """Say whether the hidden tasks can be read, and nothing else of them."""
    if config.split is None:
        return ok("hidden tasks", "none are set up")
    try:
        load_hidden(workspace.folder, config)
    except AutoagentError as error:
        return failed("hidden tasks", error)
    if config.split.hidden_dir is None:
        return warning("hidden tasks", IN_NAME_ONLY.partition(". ")[0], IN_NAME_ONLY.partition(". ")[2])
    return ok("hidden tasks", "their folder can be read")


def server(workspace: Workspace) -> Finding:
    """Say whether a server is at work on the workspace, which is asked of the lock that it holds."""
    try:
        descriptor = os.open(workspace.lock, os.O_RDONLY)
    except FileNotFoundError:
        return ok("server", "none is at work here")
    except OSError as error:
        problem = f"Whether one is at work here cannot be seen: {workspace.lock}: {error.strerror}."
        return failed(
            "server", SetupError(problem, "Give yourself the right to read it, or remove what is in its way.")
        )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = FileLock(workspace.lock).holder()
        return ok("server", f"{holder} is at work here; another one would only read until that is gone")
    finally:
        os.close(descriptor)
    return ok("server", "none is at work here")
