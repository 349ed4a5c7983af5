"""The filter on system calls in harness containers.

Docker's own profile forbids what the trials' namespaces are made of. This one is a list of what is refused: the calls
that Docker documents as blocked (https://docs.docker.com/engine/security/seccomp/, "Significant syscalls blocked by the
default profile") but for the four that harness/inside/kernel.py makes, each only in the form in which it makes it; and
what has been found dangerous since. All capabilities are dropped besides; what needs one is refused here too, as
whoever makes a user namespace has them all over it.

No architecture is named, so calls by another ABI than the engine's own (i386, x32) are refused altogether (libseccomp,
SCMP_FLTATR_ACT_BADARCH).
Format: the engine's `seccomp=` security option.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97

_REFUSED = {
    "the machine as a whole: modules, time, reboot, swap, quotas, accounting, ports, its log": (
        "acct clock_adjtime clock_settime create_module delete_module finit_module get_kernel_syms init_module ioperm "
        "iopl kexec_file_load kexec_load nfsservctl query_module quotactl quotactl_fd reboot settimeofday stime "
        "swapoff swapon sysfs syslog _sysctl uselib ustat vhangup vm86 vm86old"
    ),
    "what namespaces do not separate": (
        "add_key keyctl request_key bpf perf_event_open fanotify_init lookup_dcookie open_by_handle_at personality"
    ),
    "where memory lies": "get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node",
    "other processes": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "file trees, but for mount, and names": (
        "chroot pivot_root sethostname setdomainname umount umount2 open_tree open_tree_attr move_mount fsopen "
        "fsconfig fsmount fspick mount_setattr listmount statmount"
    ),
    "ways into the kernel that are under attack": "io_uring_setup io_uring_enter io_uring_register userfaultfd",
    "memory that is not counted": "memfd_secret",
    "sockets whose family no filter sees": "socketcall",
}

_NEW_TIME, _NEW_MOUNTS, _NEW_CGROUP, _NEW_UTS, _NEW_IPC = 0x80, 0x20000, 0x02000000, 0x04000000, 0x08000000
_NEW_USER, _NEW_PID, _NEW_NET = 0x10000000, 0x20000000, 0x40000000
_BY_CLONE = (_NEW_MOUNTS, _NEW_CGROUP, _NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET)
_BY_UNSHARE = (_NEW_TIME, _NEW_CGROUP, _NEW_UTS)
_REMOUNT, _BIND, _MOVE = 32, 4096, 8192
_SWAPS_CLONES_ARGUMENTS = ["s390", "s390x"]
_FAMILIES = (1, 2, 10, 16)
"""unix, inet, inet6, netlink. Not vsock above all: a network namespace does not cut a virtual machine's line to its
host."""


@cache
def profile() -> str:
    """Return the profile as the engine takes it, in JSON."""
    rules = [
        *(_refuse(*names.split()) for names in _REFUSED.values()),
        # Its flags lie in memory, where no filter sees them; libraries then take clone.
        _refuse("clone3", error=_ENOSYS),
        *(_refuse("clone", where=_has(0, flag), not_on=_SWAPS_CLONES_ARGUMENTS) for flag in _BY_CLONE),
        *(_refuse("clone", where=_has(1, flag), on=_SWAPS_CLONES_ARGUMENTS) for flag in _BY_CLONE),
        *(_refuse("unshare", where=_has(0, flag)) for flag in _BY_UNSHARE),
        _refuse("setns", where=_compared(1, "SCMP_CMP_NE", _NEW_NET)),
        _refuse("mount", where=_has(3, _MOVE)),
        _refuse("mount", where=_compared(3, "SCMP_CMP_MASKED_EQ", _BIND | _REMOUNT, _BIND)),
        *(
            _refuse("socket", where=_compared(0, "SCMP_CMP_EQ", family), error=_EAFNOSUPPORT)
            for family in range(max(_FAMILIES))
            if family not in _FAMILIES
        ),
        _refuse("socket", where=_compared(0, "SCMP_CMP_GT", max(_FAMILIES)), error=_EAFNOSUPPORT),
    ]
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})


def _refuse(
    *names: str,
    where: dict[str, Any] | None = None,
    error: int = _EPERM,
    on: list[str] | None = None,
    not_on: list[str] | None = None,
) -> dict[str, Any]:
    return {
        "names": names,
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": error,
        "args": [where] if where else [],
        "includes": {"arches": on} if on else {},
        "excludes": {"arches": not_on} if not_on else {},
    }


def _has(argument: int, flag: int) -> dict[str, Any]:
    return _compared(argument, "SCMP_CMP_MASKED_EQ", flag, flag)


def _compared(argument: int, how: str, value: int, masked: int = 0) -> dict[str, Any]:
    return {"index": argument, "op": how, "value": value, "valueTwo": masked}
