"""The few kernel calls that Python 3.10 does not offer."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

NEW_USER, NEW_PID, NEW_MOUNTS, NEW_NET, NEW_IPC = 0x10000000, 0x20000000, 0x00020000, 0x40000000, 0x08000000
"""CLONE_* of sched.h."""
READ_ONLY, NO_SUID, NO_DEV, NO_EXEC = 1, 2, 4, 8
REMOUNT, BIND, RECURSIVE, PRIVATE = 32, 4096, 16384, 1 << 18
"""MS_* of mount.h."""
_SET_DUMPABLE, _DROP_FROM_BOUNDING_SET, _NO_NEW_PRIVILEGES = 4, 24, 38
"""PR_* of prctl.h."""
_CAPABILITY_VERSION_3 = 0x20080522
_IS_UP = 1
_UID = 1000

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *args: object) -> None:
    if getattr(_libc, name)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Leave namespaces and enter new ones."""
    _call("unshare", flags)


def enter_namespaces(others: int) -> None:
    """Enter a new user namespace with all rights over it, and `others`; outside the process stays who it was.

    Inside it is not uid 0: since Linux 5.12 that could not be mapped again from a process without rights
    (user_namespaces(7), CAP_SETFCAP), and what it executes would have its rights again.
    """
    uid, gid = os.geteuid(), os.getegid()
    unshare(NEW_USER | others)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{_UID} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{_UID} {gid} 1", encoding="ascii")


def forbid_user_namespaces() -> None:
    """Let nobody below make namespaces: in one of its own it could mount file systems whose size nobody counts."""
    Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """Mount a file system, or change how one is mounted (mount(2))."""
    _call("mount", source.encode(), target.encode(), kind.encode() if kind else None, flags, options.encode())


def drop_all_capabilities() -> None:
    """Give up every capability for good, also over what is executed later."""
    for capability in range(64):
        if _libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0) != 0:
            break
    _call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _call("capset", struct.pack("Ii", _CAPABILITY_VERSION_3, 0), bytes(24))


def be_undumpable() -> None:
    """Let nobody without rights over the sandbox's own user namespace look into this process's memory."""
    _call("prctl", _SET_DUMPABLE, 0, 0, 0, 0)


def listen_in(net: int, own_net: int, port: int) -> socket.socket:
    """Bring loopback up in another network namespace and listen there; needs rights over it."""
    _call("setns", net, NEW_NET)
    try:
        listener = socket.socket()
        try:
            _bring_loopback_up(listener)
            listener.setblocking(False)
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
        except OSError:
            listener.close()
            raise
        return listener
    finally:
        _call("setns", own_net, NEW_NET)


def _bring_loopback_up(sock: socket.socket) -> None:
    get_flags, set_flags = 0x8913, 0x8914  # SIOCGIFFLAGS, SIOCSIFFLAGS
    request = struct.pack("16sH14x", b"lo", 0)
    _, flags = struct.unpack("16sH14x", fcntl.ioctl(sock, get_flags, request))
    fcntl.ioctl(sock, set_flags, struct.pack("16sH14x", b"lo", flags | _IS_UP))
