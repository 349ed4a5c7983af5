"""Who made a container: so that what a dead server left is found, and nobody else's is touched.

Every process that makes containers holds a lock file in the user's state folder as long as it lives. A container names
its maker's; where that lock can be taken, or the file is gone, its maker is dead. The label begins with a name of this
installation, since an engine may be shared by several machines.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from autoagent_mcp._io import FileLock


class Owner:
    """This process, as a maker of containers.

    Args:
        state: The user's state folder (`workspace.user_state`).

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state / "owners"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._installation = _installation(state)
        self._id = uuid.uuid4().hex[:12]
        self._path = self._folder / self._id
        self._lock = FileLock(self._path)
        self._lock.take()

    @property
    def label(self) -> str:
        """What containers of this process carry."""
        return f"{self._installation}.{self._id}"

    def is_dead(self, label: str) -> bool:
        """Tell whether a label names a process of this installation that has ended."""
        installation, _, owner = label.partition(".")
        if installation != self._installation or not owner.isalnum() or owner == self._id:
            return False
        path = self._folder / owner
        if not path.exists():
            return True
        lock = FileLock(path)
        if not lock.take():
            return False
        path.unlink(missing_ok=True)
        lock.give_back()
        return True

    def give_up(self) -> None:
        """Make nothing any more."""
        self._path.unlink(missing_ok=True)
        self._lock.give_back()


def _installation(state: Path) -> str:
    """Return the name of this state folder, made up once, whoever comes first."""
    path = state / "installation"
    if not path.exists():
        beside = state / f".installation.{uuid.uuid4().hex}"
        beside.write_text(uuid.uuid4().hex[:12], encoding="ascii")
        try:
            path.hardlink_to(beside)
        except FileExistsError:
            pass
        finally:
            beside.unlink()
    return path.read_text(encoding="ascii")
