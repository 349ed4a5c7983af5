"""The system calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 4, 24, 36
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}

CAP_SYS_PTRACE = 19
MS_RDONLY, MS_NOSUID, MS_NODEV = 0x1, 0x2, 0x4
_MS_NOEXEC, _MS_REMOUNT, _MS_BIND = 0x8, 0x20, 0x1000


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    """Mount a file system."""
    _check(
        _LIBC.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()),
        f"mount {kind} on {target}",
    )


def bind(target: str) -> None:
    """Make a folder a mount of its own."""
    mount(target, target, "none", _MS_BIND, "")


def make_read_only(target: str, *, no_exec: bool = False) -> None:
    """Let nothing be written to the mount at `target`; those below it stay as they are."""
    flags = _MS_REMOUNT | _MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | (_MS_NOEXEC if no_exec else 0)
    mount("none", target, "none", flags, "")


def become_undumpable() -> None:
    """Nobody without CAP_SYS_PTRACE may trace this process, or open what lies below its /proc folder."""
    _check(_LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")


def ask_for_turns_of(nanoseconds: int) -> None:
    """Ask the scheduler for short turns that come soon (since Linux 6.12), or with 0 for the usual ones.

    Process 1 and the keepers do little, and must do it in time also where hundreds of commands want the processors.
    """
    attributes = struct.pack("<IIQiIQQQ", 48, 0, 0, 0, 0, nanoseconds, 0, 0)
    _LIBC.syscall(_SCHED_SETATTR.get(os.uname().machine, -1), 0, attributes, 0)


def become_subreaper() -> None:
    """Orphans among this process's descendants become its children, not those of process 1."""
    _check(_LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def keep_capabilities(own: tuple[int, ...], for_programs: tuple[int, ...]) -> None:
    """Keep `own` for this process and its forks; a program started by exec gets `for_programs` at most."""
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in for_programs and _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # past the last one that this kernel knows
    mask = sum(1 << capability for capability in own)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    _check(_LIBC.capset(header, struct.pack("<6I", low, low, 0, high, high, 0)), "capset")
