"""Look at everything that a night needs, in the order in which one would mend it. Nothing is changed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import anyio.to_thread

from autoagent_mcp import config as config_file
from autoagent_mcp.config import FILE_NAME, Config
from autoagent_mcp.doctor import machine, model, repository, sandboxes, workspace
from autoagent_mcp.doctor.finding import Finding, failed, ok
from autoagent_mcp.errors import ConfigError
from autoagent_mcp.workspace import Workspace


async def examine(place: Workspace, *, is_offline: bool) -> tuple[Finding, ...]:
    """Return what was found, one line for each thing.

    Args:
        place: The workspace.
        is_offline: Whether to ask neither the model nor the package index.
    """
    found = [*await repository.examine(place), *await anyio.to_thread.run_sync(machine.examine, place)]
    try:
        config = config_file.load(place.folder)
    except ConfigError as error:
        return (*found, failed("settings", error))
    found.append(ok("settings", f"{FILE_NAME} can be used"))
    found.append(await repository.harness(place, config))
    found += await _sandboxes_and_tasks(place, config, is_offline=is_offline)
    found += await _models(place, config, is_offline=is_offline)
    found.append(workspace.server(place))
    return tuple(found)


async def _sandboxes_and_tasks(place: Workspace, config: Config, *, is_offline: bool) -> list[Finding]:
    name, finding = await sandboxes.choose(place, config)
    libraries = await sandboxes.libraries(place, config, name, is_offline=is_offline)
    with tempfile.TemporaryDirectory(prefix="autoagent-doctor-") as scratch:
        async with sandboxes.opened(name, place, config, Path(scratch)) as backend:
            tasks = await anyio.to_thread.run_sync(workspace.tasks, place, config, backend)
    return [finding, libraries, tasks, await anyio.to_thread.run_sync(workspace.hidden, place, config)]


async def _models(place: Workspace, config: Config, *, is_offline: bool) -> list[Finding]:
    asked = [await model.examine("model", config.model, is_offline=is_offline)]
    if config.judge is not None:
        asked.append(await model.examine("judge", config.judge, is_offline=is_offline))
    times = [one.provider_time for one in asked if one.provider_time is not None]
    return [*(one.finding for one in asked), machine.clock(place, times[0] if times else None)]
