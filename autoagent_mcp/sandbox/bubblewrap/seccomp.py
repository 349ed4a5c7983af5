"""The filter on system calls in every sandbox: what namespaces do not separate.

It is a list of what is refused; all else is as bubblewrap's namespaces and the missing capabilities leave it. Docker's
default profile (https://docs.docker.com/engine/security/seccomp/) refuses the same calls of the first group.
Format: classic BPF over `struct seccomp_data`, see seccomp(2).
"""

from __future__ import annotations

import os
import platform
import struct
from functools import cache
from typing import NamedTuple

from autoagent_mcp.errors import SetupError

_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT, _SECOND_ARGUMENT_AT = 0, 4, 16, 24
_X32_BIT = 0x40000000

_FAMILIES = (1, 2, 10, 16)
"""unix, inet, inet6, netlink. Not vsock above all: a network namespace does not cut a virtual machine's line to its
host."""
_PROCESS_1 = 1
_PRIO_USER = 2


class Numbers(NamedTuple):
    """An architecture's numbers of system calls."""

    architecture: int
    """AUDIT_ARCH_* of linux/audit.h."""
    refused: tuple[int, ...]
    """Keys and keyrings (kept per uid), bpf, perf_event_open, userfaultfd, io_uring_*, memfd_secret (memory that
    cannot be counted)."""
    on_a_process: tuple[int, ...]
    """prlimit64 and the sched_set* calls. Whoever has process 1's uid may use them on it: a CPU limit would kill it, a
    low priority would keep it from its work."""
    setpriority: int
    socket: int


_NUMBERS = {
    "x86_64": Numbers(
        architecture=0xC000003E,
        refused=(248, 249, 250, 321, 298, 323, 425, 426, 427, 447),
        on_a_process=(302, 142, 144, 203, 314),
        setpriority=141,
        socket=41,
    ),
    "aarch64": Numbers(
        architecture=0xC00000B7,
        refused=(217, 218, 219, 280, 241, 282, 425, 426, 427, 447),
        on_a_process=(261, 118, 119, 122, 274),
        setpriority=140,
        socket=198,
    ),
}


def open_filter() -> int:
    """Return a descriptor from which bubblewrap reads the filter; it reads it to its end, so everyone gets a new one.

    Raises:
        SetupError: No filter is known for this machine's processor.
    """
    return os.open(f"/proc/self/fd/{_filter_file()}", os.O_RDONLY | os.O_CLOEXEC)


@cache
def _filter_file() -> int:
    numbers = _NUMBERS.get(platform.machine())
    if numbers is None:
        raise SetupError(
            f"The bubblewrap backend does not know this processor: {platform.machine()}.", "Use the Docker backend."
        )
    descriptor = os.memfd_create("seccomp")
    os.write(descriptor, _program(numbers))
    return descriptor


def _program(numbers: Numbers) -> bytes:
    code = [_load(_ARCHITECTURE_AT), *_unless_equal(numbers.architecture, _error(_ENOSYS)), _load(_NUMBER_AT)]
    code += _if_at_least(_X32_BIT, _error(_ENOSYS))
    for number in numbers.refused:
        code += _if_equal(number, [_error(_EPERM)])
    for number in numbers.on_a_process:
        code += _if_equal(number, _refuse_where(_FIRST_ARGUMENT_AT, _PROCESS_1))
    on_a_user = [_load(_FIRST_ARGUMENT_AT), *_if_equal(_PRIO_USER, [_error(_EPERM)])]
    code += _if_equal(numbers.setpriority, [*on_a_user, *_refuse_where(_SECOND_ARGUMENT_AT, _PROCESS_1)])
    families = [_load(_FIRST_ARGUMENT_AT)]
    for family in _FAMILIES:
        families += _if_equal(family, [_return(_ALLOW)])
    code += _if_equal(numbers.socket, [*families, _error(_EAFNOSUPPORT)])
    return b"".join([*code, _return(_ALLOW)])


def _refuse_where(argument_at: int, value: int) -> list[bytes]:
    """Refuse the call where an argument has a value, else allow it."""
    return [_load(argument_at), *_if_equal(value, [_error(_EPERM)]), _return(_ALLOW)]


def _statement(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _load(offset: int) -> bytes:
    return _statement(_LOAD, offset)


def _return(value: int) -> bytes:
    return _statement(_RETURN, value)


def _error(number: int) -> bytes:
    return _return(_ERROR | number)


def _if_equal(value: int, then: list[bytes]) -> list[bytes]:
    return [_statement(_JUMP_EQUAL, value, 0, len(then)), *then]


def _unless_equal(value: int, then: bytes) -> list[bytes]:
    return [_statement(_JUMP_EQUAL, value, 1, 0), then]


def _if_at_least(value: int, then: bytes) -> list[bytes]:
    return [_statement(_JUMP_AT_LEAST, value, 0, 1), then]
