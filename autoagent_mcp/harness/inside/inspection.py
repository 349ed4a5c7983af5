"""Looks at a process from outside, since what runs agent.py's code cannot be believed about itself.

What a process may share with another one: threads of its own that outlive a fork, memory mapped shared, open files
(also their positions), writable mounts, and the namespaces themselves.
"""

from __future__ import annotations

import os
from pathlib import Path

SPACES = ("user", "pid", "mnt", "net", "ipc")
_CAPABILITY_LINES = ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")


class Distrust(Exception):  # noqa: N818 - a verdict
    """A process is not as alone as it must be."""


def leftovers(pid: int, own_files: set[str]) -> list[str]:
    """Name what all forks of a process would share; `own_files` may be open in it."""
    found: list[str] = []
    if len(list(Path(f"/proc/{pid}/task").iterdir())) > 1:
        found.append("a thread")
    if children(pid):
        found.append("a process")
    found += [f"shared memory ({memory})" for memory in shared_memory(pid)[:1]]
    found += [f"an open file ({file})" for file in open_files(pid, own_files)[:1]]
    return found


def examine(pid: int, own_files: set[str], taken_spaces: set[str], shared_devices: set[str]) -> set[str]:
    """Return the namespaces of a child that is alone.

    Args:
        pid: Of the child, as it is before it has heard of its trial.
        own_files: What may be open in it.
        taken_spaces: Namespaces that it may not be in.
        shared_devices: Devices (major:minor) that it may not be able to write to.

    Raises:
        Distrust: It shares something with another process, or could.
    """
    spaces_now, status, mounts = spaces(pid), _status(pid), _mounts(pid)
    writable = {device for point, (device, _, is_writable) in mounts.items() if is_writable and _is_seen(point)}
    complaints = {
        "is not in namespaces of its own": spaces_now & taken_spaces or status["NSpid"].split()[-1] != "1",
        "kept rights over its namespaces": any(int(status[line], 16) for line in _CAPABILITY_LINES),
        "sees the processes of others": mounts["/proc"][1] != "tmpfs",
        "can write where others read": writable & shared_devices,
        "has company": leftovers(pid, own_files),
    }
    if found := [f"{complaint} ({detail})" for complaint, detail in complaints.items() if detail]:
        raise Distrust(f"its process {' and '.join(found)}")
    return spaces_now


def hold_spaces(pid: int) -> dict[str, int]:
    """Open the namespaces that a process is in; as long as they are open the kernel gives their numbers to no other.

    Without that a child may be found in the namespaces of one that has just died and is not buried yet.
    """
    held: dict[str, int] = {}
    try:
        for name in SPACES:
            held[name] = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY)
    except OSError:
        release_spaces(held)
        raise
    return held


def release_spaces(held: dict[str, int]) -> None:
    """Close them."""
    while held:
        os.close(held.popitem()[1])


def spaces(pid: int) -> set[str]:
    """Return the namespaces that a process is in."""
    return {str(Path(f"/proc/{pid}/ns/{name}").readlink()) for name in SPACES}


def devices(pid: int) -> set[str]:
    """Return the devices of all mounts that a process sees."""
    return {device for device, _, _ in _mounts(pid).values()}


def children(pid: int) -> set[int]:
    """Return the children of a process that are alive."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return {int(child) for child in found if _is_alive(int(child))}


def _is_alive(pid: int) -> bool:
    try:
        return not _status(pid)["State"].startswith(("Z", "X"))
    except (FileNotFoundError, ProcessLookupError):
        return False


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def shared_memory(pid: int) -> list[str]:
    """Return what is mapped so that a fork would go on sharing it."""
    found: list[str] = []
    # A file below a read-only mount may be mapped shared: nobody can write to it (glibc maps its gconv cache so).
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        _, permissions, _, _, _, *path = line.split(maxsplit=5)
        if permissions[3] == "s" and (permissions[1] == "w" or not _is_plain_file(path)):
            found.append(path[0] if path else "anonymous")
    return found


def _is_plain_file(path: list[str]) -> bool:
    hidden = ("/dev/", "/tmp/", "/memfd:", "/SYSV", "/proc/")
    return bool(path) and path[0].startswith("/") and not path[0].startswith(hidden) and "(deleted)" not in path[0]


def open_files(pid: int, own_files: set[str]) -> list[str]:
    """Return what else is open in a process than `own_files`."""
    targets = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    return [target for target in targets if target not in own_files and target != "/dev/null"]


def _is_seen(point: str) -> bool:
    """Say whether a mount is not below what covers /proc."""
    return not point.startswith("/proc/")


def _mounts(pid: int) -> dict[str, tuple[str, str, bool]]:
    """Return device, file system and whether it can be written to, by mount point; a later mount hides an earlier."""
    mounts: dict[str, tuple[str, str, bool]] = {}
    for line in Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        own, _, superblock = line.partition(" - ")
        _, _, device, _, point, options, *_ = own.split(" ")
        kind, _, super_options = superblock.split(" ", 2)
        writable = "rw" in options.split(",") and "rw" in super_options.split(",")
        mounts[point] = (device, kind, writable)
    return mounts
