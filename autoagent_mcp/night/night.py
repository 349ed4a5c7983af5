"""`autoagent-mcp night`: a client works until the budget is used up, the hour has come or a person says stop."""

from __future__ import annotations

from autoagent_mcp import config as config_file
from autoagent_mcp._io import FileLock
from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.errors import SetupError
from autoagent_mcp.models.night import Night
from autoagent_mcp.night import leftovers
from autoagent_mcp.night.journal import Journal
from autoagent_mcp.night.shift import Plan, Shift
from autoagent_mcp.night.templates import BRIEF
from autoagent_mcp.night.watch import Watch, now
from autoagent_mcp.workspace import Workspace


async def spend(workspace: Workspace, plan: Plan) -> tuple[Night, int]:
    """Let a client work until the night is over.

    Returns:
        The night's record, and this process's status: that of the signal, 1 where it was given up, else 0.

    Raises:
        SetupError: The folder is no workspace, a person said stop, another night goes on, or there is no such client.
        ConfigError: autoagent.toml cannot be used: no client would get anything done.
    """
    _check(workspace)
    lock = FileLock(workspace.nights / "lock")
    if not lock.take():
        raise SetupError(f"Another night goes on in this workspace ({lock.holder()}).", "End that one first.")
    try:
        return await _spend(workspace, plan)
    finally:
        lock.give_back()


def _check(workspace: Workspace) -> None:
    if not workspace.agent.is_file():
        raise SetupError(
            f"There is no agent.py in {workspace.folder}.", "Name a workspace: `autoagent-mcp --workspace DIR night`."
        )
    if workspace.stop.exists():
        raise SetupError("A person said stop.", "Take it back with `autoagent-mcp stop --undo`.")
    config_file.load(workspace.folder)
    workspace.nights.mkdir(parents=True, exist_ok=True)


async def _spend(workspace: Workspace, plan: Plan) -> tuple[Night, int]:
    watch = Watch(workspace, plan.until)
    command = plan.command if any(BRIEF in word for word in plan.command) else (*plan.command, BRIEF)
    before = watch.status()
    folder = workspace.nights / now().strftime("%Y%m%dT%H%M%S.%fZ")
    folder.mkdir()
    night = Night(
        client=plan.client,
        meta_model=plan.meta_model,
        command=command,
        began_at=now(),
        until=plan.until,
        experiments=before.experiments if before else 0,
    )
    shift = Shift(workspace, plan, watch, Journal(folder, night))
    leftovers.adopt_orphans()
    async with background_tasks() as group:
        group.start_soon(watch.heed_signals)
        await shift.work()
    status = 128 + watch.signal if watch.signal else int(shift.gave_up)
    return shift.journal.night, status
