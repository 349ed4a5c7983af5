"""The editable files in the working tree: read them as they are, put them back. Knows no git."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from autoagent_mcp._io import write_whole
from autoagent_mcp.errors import RepoError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.workspace import EDITABLE, Workspace

LIMIT_BYTES = 32 * 1024 * 1024
LIMIT_FILES = 2_000
_SKIPPED = "__pycache__"
"""Made by any Python that imports from .agent; never part of a candidate."""


class Editable(Frozen):
    """The editable files, by path relative to the workspace."""

    files: Mapping[str, bytes]
    executable: frozenset[str] = frozenset()


def read(workspace: Workspace) -> Editable:
    """Read the editable files as they are now; a missing agent.py is simply not there.

    Raises:
        RepoError: A link, a special file or an unusable name is among them, or they are too many or too large.
    """
    files: dict[str, bytes] = {}
    executable: set[str] = set()
    left = LIMIT_BYTES
    for path in sorted(_walk(workspace.folder)):
        name = path.relative_to(workspace.folder).as_posix()
        _check_name(name)
        data, mode = _read_file(path, name, left)
        left -= len(data)
        files[name] = data
        if mode & stat.S_IXUSR:
            executable.add(name)
        if len(files) > LIMIT_FILES:
            raise RepoError(f"There are more than {LIMIT_FILES} files in .agent.", "Keep only what the harness needs.")
    return Editable(files=files, executable=frozenset(executable))


def restore(workspace: Workspace, target: Editable, *, replacing: Editable) -> None:
    """Make the editable files those of `target`, each at once or not at all; files that are equal are not touched.

    Args:
        workspace: Where.
        target: What they are to be.
        replacing: What the caller has put into safety; nothing else is overwritten.

    Raises:
        RepoError: They are not `replacing` any more, or see `read`.
        OSError: The disk is full, or a file cannot be written.
    """
    now = read(workspace)
    if now != replacing:
        raise RepoError("The harness was edited from elsewhere meanwhile.", "Nothing was overwritten: call again.")
    for name in sorted(now.files.keys() - target.files.keys()):
        (workspace.folder / name).unlink()
    _remove_empty_folders(workspace.folder / EDITABLE[1])
    for name, data in target.files.items():
        is_executable = name in target.executable
        if now.files.get(name) == data and (name in now.executable) == is_executable:
            continue
        path = workspace.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside a file of .agent the unfinished one would be part of the harness after a crash.
        write_whole(path, data, mode=0o755 if is_executable else 0o644, scratch=workspace.scratch)


def clear_scratch(workspace: Workspace) -> None:
    """Remove what a killed server was writing; only for the one that holds the workspace's lock."""
    shutil.rmtree(workspace.scratch, ignore_errors=True)


def _walk(folder: Path) -> Iterator[Path]:
    for name in EDITABLE:
        path = folder / name
        if not os.path.lexists(path):
            continue
        if path.is_symlink():
            raise RepoError(f"{name} is a link.", "Put the file itself there.")
        if not path.is_dir():
            yield path
            continue
        for parent, folders, names in os.walk(path):
            folders[:] = [one for one in folders if one != _SKIPPED]
            for one in folders:
                if (Path(parent) / one).is_symlink():
                    raise RepoError(f"{Path(parent, one).relative_to(folder)} is a link.", "Put the files themselves.")
            yield from (Path(parent) / one for one in names)


def _check_name(name: str) -> None:
    # A surrogate, from a name that is no UTF-8, is not printable either.
    if not name.isprintable() or "\\" in name or ".git" in name.lower().split("/"):
        raise RepoError(f"The file name {name!r} cannot be kept in git.", "Rename it.")


def _read_file(path: Path, name: str, limit_bytes: int) -> tuple[bytes, int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        reason = "is a link" if path.is_symlink() else f"cannot be read ({error.strerror})"
        raise RepoError(f"{name} {reason}.", "Put a plain, readable file there.") from error
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise RepoError(f"{name} is neither a file nor a folder.", "Remove it.")
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise RepoError(
            f"agent.py and .agent hold more than {LIMIT_BYTES} bytes (with {name}).",
            "Keep only what the harness needs.",
        )
    return data, mode


def _remove_empty_folders(folder: Path) -> None:
    for parent, _, _ in os.walk(folder, topdown=False):
        if not any(Path(parent).iterdir()):
            Path(parent).rmdir()
