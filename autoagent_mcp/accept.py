"""`autoagent-mcp accept-changes`: a person says that what was changed from outside is as it should be.

It only reads the ledger, so that it works beside a server: that server takes the word in at its next call.
"""

from __future__ import annotations

import anyio

from autoagent_mcp import config as config_file
from autoagent_mcp.experiment.changes import KINDS, Changes
from autoagent_mcp.experiment.fingerprints import Fingerprints
from autoagent_mcp.experiment.integrity import accept
from autoagent_mcp.ledger import Ledger
from autoagent_mcp.models.integrity import Kind, Thing
from autoagent_mcp.task.split import load_hidden, load_visible
from autoagent_mcp.workspace import Workspace

__all__ = ["accept", "line", "waiting"]


async def waiting(workspace: Workspace) -> tuple[Thing, ...]:
    """Return what waits for a person's word: what a server has named, and what was changed since its last look.

    Raises:
        ConfigError: autoagent.toml cannot be used as it is.
        TaskError: There is no folder with tasks.
        LedgerError: The ledger cannot be read.
    """
    if not workspace.ledger.exists():
        return ()
    changes = Changes()
    ledger = await Ledger.open(workspace, to_read=True)
    try:
        for entry in await ledger.entries(kinds=KINDS):
            changes.apply(entry)
    finally:
        await ledger.close()
    return tuple(
        dict.fromkeys((*changes.waiting.values(), *await anyio.to_thread.run_sync(_unseen, workspace, changes)))
    )


def line(thing: Thing) -> str:
    """Say what was changed, on a line of its own."""
    if thing.kind is Kind.LEDGER:
        return f"ledger     from entry {thing.name} on; the file as it was changed lies beside it in .autoagent"
    what = "gone" if not thing.digest else f"now {thing.digest}"
    return f"{thing.kind.value:<10} {thing.name or '(not named)'} {what}"


def _unseen(workspace: Workspace, changes: Changes) -> tuple[Thing, ...]:
    config = config_file.load(workspace.folder)
    tasks = load_visible(workspace.folder, config).usable
    hidden = load_hidden(workspace.folder, config).usable
    return changes.since(Fingerprints(workspace).take(tasks, hidden))
