"""The filter on system calls in harness containers: what it refuses, and that the trials' namespaces can be made."""

from __future__ import annotations

import ast
import errno
from typing import Any

import pytest
from support.harnesses import HARNESS_BASE

from autoagent_mcp.sandbox.base import Backend, Image, SandboxSpec

pytestmark = pytest.mark.only_on("docker", "the profile is Docker's")

SPEC = SandboxSpec(name="seccomp", image=Image(id=HARNESS_BASE, base=HARNESS_BASE), role="harness")

NUMBERS = """
import ctypes, os, platform
X, A = "x86_64", "aarch64"
libc = ctypes.CDLL(None, use_errno=True)
def call(numbers, *words):
    ctypes.set_errno(0)
    number = numbers[platform.machine()]
    return 0 if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, words)) >= 0 else ctypes.get_errno()
def path(text):
    kept.append(ctypes.create_string_buffer(text))
    return ctypes.addressof(kept[-1])
kept = []
NEW_TIME, NEW_MOUNTS, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x80, 0x20000, 0x02000000, 0x04000000, 0x08000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000
UNSHARE, SETNS, MOUNT, CLONE = {X: 272, A: 97}, {X: 308, A: 268}, {X: 165, A: 40}, {X: 56, A: 220}
"""

# With all rights over a user namespace of its own, so that only the filter is in the way.
REFUSED = (
    NUMBERS
    + """
assert call(UNSHARE, NEW_USER | NEW_MOUNTS) == 0
print({
    "acct": call({X: 163, A: 89}, 0),
    "add_key": call({X: 248, A: 217}),
    "keyctl": call({X: 250, A: 219}, 99),
    "bpf": call({X: 321, A: 280}, 99),
    "perf_event_open": call({X: 298, A: 241}),
    "personality": call({X: 135, A: 92}, -1),
    "open_by_handle_at": call({X: 304, A: 265}),
    "mbind": call({X: 237, A: 235}),
    "get_mempolicy": call({X: 239, A: 236}),
    "kcmp": call({X: 312, A: 272}, os.getpid(), os.getpid(), 1),
    "process_vm_readv": call({X: 310, A: 270}, os.getpid()),
    "ptrace": call({X: 101, A: 117}, 0),
    "chroot": call({X: 161, A: 51}, path(b"/")),
    "pivot_root": call({X: 155, A: 41}, path(b"/"), path(b"/")),
    "sethostname": call({X: 170, A: 161}, path(b"x"), 1),
    "umount2": call({X: 166, A: 39}, path(b"/nothing")),
    "fsopen": call({X: 430, A: 430}, path(b"tmpfs"), 0),
    "open_tree": call({X: 428, A: 428}, -1),
    "mount_setattr": call({X: 442, A: 442}, -1),
    "io_uring_setup": call({X: 425, A: 425}),
    "userfaultfd": call({X: 323, A: 282}, 1),
    "memfd_secret": call({X: 447, A: 447}, 0),
    "syslog": call({X: 103, A: 116}, 99),
    "kexec_load": call({X: 246, A: 104}),
    "unshare a cgroup namespace": call(UNSHARE, NEW_CGROUP),
    "unshare a uts namespace": call(UNSHARE, NEW_UTS),
    "unshare a time namespace": call(UNSHARE, NEW_TIME),
    "clone into a user namespace": call(CLONE, NEW_USER),
    "clone into a mount namespace": call(CLONE, NEW_MOUNTS),
    "join a mount namespace": call(SETNS, os.open("/proc/self/ns/mnt", os.O_RDONLY), NEW_MOUNTS),
    "join any namespace": call(SETNS, os.open("/proc/self/ns/net", os.O_RDONLY), 0),
    "bind a folder elsewhere": call(MOUNT, path(b"/tmp"), path(b"/harness"), 0, 4096, 0),
    "move a mount": call(MOUNT, path(b"/tmp"), path(b"/harness"), 0, 8192, 0),
})
"""
)

SOCKETS = """
import socket
def family(number):
    try:
        socket.socket(number, socket.SOCK_DGRAM).close()
    except OSError as error:
        return error.errno
    return 0
print({number: family(number) for number in range(0, 50)})
"""

OTHER_ABI = """
import ctypes, mmap, os, platform, signal
assert platform.machine() == "x86_64"
if os.fork() == 0:
    if WAY == "x32":
        ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39))
    else:  # getpid as i386 calls it: mov eax, 20; int 0x80; ret
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(bytes.fromhex("b814000000cd80c3"))
        ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    os._exit(0)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


async def told(backend: Backend, code: str) -> Any:  # noqa: ANN401 - what a literal may be
    """Return what code prints in a harness container."""
    async with backend.start(SPEC) as sandbox:
        await sandbox.exec(f"cat > /tmp/code.py <<'END'\n{code}\nEND")
        result = await sandbox.exec("python3 /tmp/code.py")
    assert result.return_code == 0, result
    return ast.literal_eval(result.stdout.splitlines()[-1])


async def test_what_is_refused_is_refused_even_with_all_rights_over_a_namespace(backend: Backend) -> None:
    found: dict[str, int] = await told(backend, REFUSED)
    assert {call for call, code in found.items() if code != errno.EPERM} == set()


async def test_only_plain_sockets_can_be_made(backend: Backend) -> None:
    found: dict[int, int] = await told(backend, SOCKETS)
    assert {family for family, code in found.items() if code != errno.EAFNOSUPPORT} <= {1, 2, 10, 16}
    assert found[1] == found[2] == 0


@pytest.mark.parametrize("way", ["i386", "x32"])
async def test_calls_by_another_abi_are_refused(way: str, backend: Backend) -> None:
    assert await told(backend, f"WAY = {way!r}\n{OTHER_ABI}") != 0


async def test_clone3_is_not_there_and_threads_and_processes_are_made_all_the_same(backend: Backend) -> None:
    code = """
    import ctypes, os, subprocess, threading
    libc = ctypes.CDLL(None, use_errno=True)
    answer = libc.syscall(ctypes.c_long(435), 0, 0), ctypes.get_errno()
    done = []
    thread = threading.Thread(target=done.append, args=(1,))
    thread.start()
    thread.join()
    print((answer, done, subprocess.run(["true"]).returncode))
    """
    assert await told(backend, "if True:\n" + code) == ((-1, errno.ENOSYS), [1], 0)


async def test_the_container_has_no_rights_and_a_root_that_cannot_be_written(backend: Backend) -> None:
    code = """
import os
def write(path):
    try:
        open(path + "/x", "w").close()
        return True
    except OSError:
        return False
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines())
print((
    os.getuid(), {status[name] for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")}, status["NoNewPrivs"],
    status["Seccomp"], [path for path in ("/", "/usr", "/etc", "/var/tmp", "/opt", "/tmp", "/harness") if write(path)],
    os.listdir("/sys/class/net"),
))
"""
    assert await told(backend, code) == (65534, {"0" * 16}, "1", "2", ["/tmp", "/harness"], ["lo"])  # noqa: S108
