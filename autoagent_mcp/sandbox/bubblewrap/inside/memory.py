"""How much memory the sandbox as a whole uses: its processes and its files, which all lie in memory.

Control groups would count this in the kernel, but an ordinary user has none to give. So process 1 looks, the more often
the nearer the limit is.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_KNOWN_TMPFS = ("/", "/dev/shm", "/tmp")  # noqa: S108 - the sandbox's own
_FILL_BYTES_PER_SEC = 2 << 30
"""What one core can fill with pages in a second, about."""
_INODE_BYTES = 1024
"""What a file's inode and name take in the kernel, about, be it empty."""
_PAUSE_MIN_SEC, _PAUSE_MAX_SEC = 0.01, 0.25


def pause_sec(headroom_bytes: int) -> float:
    """Return after how long to look again, so that the limit is not passed by much meanwhile."""
    fill = headroom_bytes / (_FILL_BYTES_PER_SEC * (os.cpu_count() or 1))
    return min(max(fill, _PAUSE_MIN_SEC), _PAUSE_MAX_SEC)


def used_bytes(pids: list[int], limit_bytes: int) -> int:
    """Return what is used, exactly where it matters.

    Pages that several processes share are counted once for each at first, which is quick and never too low; only when
    that passes the limit, each is asked for its share, which walks its page tables.
    """
    rest = _files() + _system_v() + sum(_memory_files(pid) for pid in pids)
    at_most = sum(_sum_of(f"/proc/{pid}/status", (b"RssAnon:", b"RssShmem:")) for pid in pids)
    if rest + at_most <= limit_bytes:
        return rest + at_most
    return rest + sum(_sum_of(f"/proc/{pid}/smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:")) for pid in pids)


def _files() -> int:
    seen: dict[int, int] = {}
    for path in _KNOWN_TMPFS:
        try:
            system = os.statvfs(path)
            blocks, files = system.f_blocks - system.f_bfree, system.f_files - system.f_ffree
            seen[os.stat(path).st_dev] = blocks * system.f_frsize + files * _INODE_BYTES
        except OSError:
            continue
    return sum(seen.values())


def _system_v() -> int:
    """Shared memory segments, which outlive their processes."""
    try:
        with open("/proc/sysvipc/shm", "rb") as file:
            return sum(int(line.split()[14]) for line in file.readlines()[1:])
    except FileNotFoundError:
        return 0


def _memory_files(pid: int) -> int:
    """Files made with memfd_create, which no file system shows."""
    return sum(_memory_file_sizes(f"/proc/{pid}/fd"))


def _memory_file_sizes(folder: str) -> Iterator[int]:
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            if os.readlink(f"{folder}/{name}").startswith("/memfd:"):
                yield os.stat(f"{folder}/{name}").st_blocks * 512
        except OSError:  # closed meanwhile
            continue


def _sum_of(path: str, keys: tuple[bytes, ...]) -> int:
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except OSError:  # ended meanwhile
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(keys))
