"""Where trials would run: the backend, and the harness's libraries on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread

from autoagent_mcp.config import Config
from autoagent_mcp.doctor.finding import Finding, failed, ok
from autoagent_mcp.errors import AutoagentError, SetupError
from autoagent_mcp.models.run import Run, RunKind
from autoagent_mcp.sandbox import requirements
from autoagent_mcp.sandbox.base import Backend
from autoagent_mcp.sandbox.bubblewrap import harness_environment
from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend
from autoagent_mcp.workspace import Workspace, user_cache

_PATIENCE_SEC = 3


async def choose(workspace: Workspace, config: Config) -> tuple[str, Finding]:
    """Return the name of the backend that a run would take, and whether it works."""
    wanted, why = await anyio.to_thread.run_sync(_wanted, workspace, config)
    no_engine = ""
    if wanted != "bubblewrap":
        try:
            return "docker", ok("sandboxes", f"Docker {await _engine_version()} answers; {why} it")
        except SetupError as error:
            if wanted == "docker":
                return "docker", failed("sandboxes", error)
            no_engine = error.problem
    try:
        await BubblewrapBackend(workspace.id, user_cache()).check()
    except SetupError as error:
        return "bubblewrap", failed("sandboxes", SetupError(f"{error.problem} {no_engine}".rstrip(), error.hint))
    return "bubblewrap", ok("sandboxes", f"bubblewrap works; {why} it. {no_engine}".rstrip(". "))


@asynccontextmanager
async def opened(name: str, workspace: Workspace, config: Config, scratch: Path) -> AsyncGenerator[Backend]:
    """Give a backend that says which tasks it can run; what it writes goes into the scratch folder."""
    if name == "bubblewrap":
        yield BubblewrapBackend(workspace.id, scratch)
        return
    from autoagent_mcp.sandbox.docker.backend import open_backend  # noqa: PLC0415 - loaded only where it is used

    async with open_backend(workspace.id, cache=scratch, state=scratch, harness_base=config.harness.image) as docker:
        yield docker


async def libraries(workspace: Workspace, config: Config, backend: str, *, is_offline: bool) -> Finding:
    """Look whether what `.agent/requirements.txt` lists is installed, or can be."""
    try:
        text = _listed(workspace.folder / ".agent" / "requirements.txt")
        wanted = ", ".join(requirements.checked(text))
        if not wanted:
            return ok("libraries", "the harness needs none")
        if backend == "docker":
            said = f"the first run installs {wanted} into an image of {config.harness.image}; that was not tried"
            return ok("libraries", said)
        if harness_environment.place(text, user_cache()).is_dir():
            return ok("libraries", f"{wanted} is installed")
        if is_offline:
            return ok("libraries", f"the first run installs {wanted}; that was not tried")
        await anyio.to_thread.run_sync(harness_environment.rehearse, text)
    except AutoagentError as error:
        return failed("libraries", error)
    return ok("libraries", f"{wanted} can be installed; the first run does it")


def _listed(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {error}.", "Make it a text with a library on each line.") from error


def _wanted(workspace: Workspace, config: Config) -> tuple[str, str]:
    """Return the backend that is asked for, and who asks for it, to be followed by its name."""
    if config.run.backend != "auto":
        return config.run.backend, "autoagent.toml asks for"
    for path in sorted(workspace.runs.glob("*/run.json")):
        try:
            run = Run.model_validate_json(path.read_bytes())
        except (OSError, ValueError):  # a run whose record is broken names no backend
            continue
        if run.kind is RunKind.SUITE:
            return run.suite.backend, "the baseline was measured on"
    return "auto", "`auto` takes"


async def _engine_version() -> str:
    from autoagent_mcp.sandbox.docker.engine import Engine  # noqa: PLC0415 - loaded only where it is used

    engine = Engine()
    try:
        await engine.connect(patience_sec=_PATIENCE_SEC)
        version = await engine.call(engine.client.version)
    finally:
        await engine.aclose()
    return str(version["Version"])
