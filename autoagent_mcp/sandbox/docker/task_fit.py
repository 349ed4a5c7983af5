"""What of a task is different on Docker from what it asks."""

from __future__ import annotations

from pathlib import Path

from autoagent_mcp.models.task import Task
from autoagent_mcp.sandbox import unsupported


def notices(task: Task) -> tuple[str, ...]:
    """Return what is different here from what the task asks."""
    return tuple(
        f"asks in {place} for storage_mb = {environment.storage_mb}, which is not enforced (as under Harbor)"
        for place, environment in unsupported.environments(task)
        if environment.storage_mb is not None
    )


def has_loose_files(folder: Path) -> bool:
    """Tell whether a folder holds files but nothing that says what to build of them."""
    is_recipe = (folder / unsupported.DOCKERFILE).exists() or (folder / unsupported.COMPOSE).exists()
    return not is_recipe and folder.is_dir() and any(folder.iterdir())
