"""Which tasks are hidden, and which are measured in the open.

A hidden task is left out before anything else sees the tasks, so that no list, no refusal and no offer of a near name
can tell of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from autoagent_mcp.config import FILE_NAME, Config, SplitSettings
from autoagent_mcp.errors import ConfigError
from autoagent_mcp.models.run import Excluded
from autoagent_mcp.models.task import Task
from autoagent_mcp.task.folder import load_all

IN_NAME_ONLY = (
    "A fraction of the tasks is hidden in name only: whoever has a shell here can read them. "
    "Set `[split] hidden_dir` to a folder that the client cannot read."
)
"""For people, where `hidden_fraction` is used."""
_FEWEST = 2
_HEX_DIGITS = 16


class Tasks(NamedTuple):
    """Tasks, and folders that cannot be used as one."""

    usable: tuple[Task, ...]
    excluded: tuple[Excluded, ...]


def load_visible(workspace: Path, config: Config) -> Tasks:
    """Read the tasks that are measured in the open.

    Args:
        workspace: The folder that the settings are of.
        config: The settings.

    Raises:
        TaskError: There is no folder with tasks.
    """
    found = Tasks(*load_all(workspace / config.tasks_dir))
    hidden = _hidden_names(found, config.split)
    return _chosen(found, lambda name: name not in hidden)


def load_hidden(workspace: Path, config: Config) -> Tasks:
    """Read the hidden tasks; none where the settings hide nothing.

    Args:
        workspace: See `load_visible`.
        config: See `load_visible`.

    Raises:
        ConfigError: There is no such folder, or it is not apart from the workspace. Tells nothing of what is in it.
        TaskError: There is no folder with visible tasks, of which a fraction were to be hidden.
    """
    if config.split is None:
        return Tasks((), ())
    if config.split.hidden_dir is None:
        found = Tasks(*load_all(workspace / config.tasks_dir))
        hidden = _hidden_names(found, config.split)
        return _chosen(found, lambda name: name in hidden)
    folder = _hidden_folder(workspace, config.split.hidden_dir)
    try:
        found = Tasks(*load_all(folder))
    except OSError as error:
        hint = "Let the user that runs the server read it."
        raise ConfigError(f"The folder of `[split] hidden_dir` cannot be read: {error.strerror}.", hint) from None
    in_the_open = (workspace.resolve(), (workspace / config.tasks_dir).resolve())
    for path in (folder, *(task.folder for task in found.usable)):
        if any(path.is_relative_to(one) or one.is_relative_to(path) for one in in_the_open):
            raise ConfigError(
                "What `[split] hidden_dir` names lies inside the workspace or its tasks, or holds them.",
                "Move the hidden tasks to a folder of their own that the client cannot read.",
            )
    return found


def _hidden_folder(workspace: Path, name: str) -> Path:
    try:
        folder = (workspace / Path(name).expanduser()).resolve()
    except RuntimeError as error:  # no such home, or a link that leads to itself
        raise ConfigError(
            f"`[split] hidden_dir` cannot be followed: {error}.", f"Correct it in {FILE_NAME}."
        ) from error
    if not folder.is_dir():
        raise ConfigError("There is no folder where `[split] hidden_dir` says.", f"Make it, or correct {FILE_NAME}.")
    return folder


def _chosen(found: Tasks, is_chosen: Callable[[str], bool]) -> Tasks:
    return Tasks(
        tuple(task for task in found.usable if is_chosen(task.name)),
        tuple(one for one in found.excluded if is_chosen(one.task)),
    )


def _hidden_names(found: Tasks, split: SplitSettings | None) -> frozenset[str]:
    """Choose by each name alone, so that a task that comes or goes moves no other across.

    Only where that leaves none on one side, the name nearest to the border changes sides.
    """
    if split is None or split.hidden_fraction is None:
        return frozenset()
    fraction, seed = split.hidden_fraction, split.seed
    everything = (*(task.name for task in found.usable), *(one.task for one in found.excluded))
    hidden = {name for name in everything if _place(name, seed) < fraction}
    usable = sorted((task.name for task in found.usable), key=lambda name: _place(name, seed))
    if len(usable) >= _FEWEST:
        hidden.add(usable[0])
        hidden.discard(usable[-1])
    return frozenset(hidden)


def _place(name: str, seed: int) -> float:
    """Return a number from 0 to 1 that is the same on every machine."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode(errors="surrogateescape")).hexdigest()
    return int(digest[:_HEX_DIGITS], 16) / 16**_HEX_DIGITS
