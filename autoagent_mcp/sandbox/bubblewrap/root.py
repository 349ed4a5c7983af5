"""What a sandbox's root is made of: bubblewrap's arguments.

An empty root in memory, whose size is the disk limit; over it the host's programs and libraries, read-only, and the few
files of /etc that programs need. No accounts, no home folders, no /var, no /opt, no /sys. Process 1 adds what is
written (`inside.prepare`).
"""

from __future__ import annotations

import sys
import sysconfig
from functools import cache
from pathlib import Path, PurePosixPath

from autoagent_mcp.sandbox.base import OUTPUT_LIMIT_BYTES, SandboxSpec

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHON = PurePosixPath("/opt/python")
"""Where the server's Python is shown, unless it is part of /usr."""

_ETC = (
    "alternatives ca-certificates ca-certificates.conf debian_version fonts gai.conf host.conf inputrc ld.so.cache "
    "ld.so.conf ld.so.conf.d locale.alias localtime magic mime.types networks nsswitch.conf os-release pki/ca-trust "
    "pki/tls/certs protocols python3 rpc services ssl/certs ssl/openssl.cnf terminfo timezone"
)
_SHM_MB = 64
"""As Docker's."""
_NAMESPACES = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
)


def interpreter() -> tuple[Path | None, str]:
    """Return the folder of the server's own Python (None where it is part of /usr), and its program's path inside."""
    base = Path(sys.base_prefix).resolve()
    program = f"bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if base.is_relative_to("/usr"):
        return None, str(base / program)
    return base, str(PYTHON / program)


def arguments(spec: SandboxSpec, program: int, seccomp: int) -> list[str | Path]:
    """Return bubblewrap's arguments for a sandbox; a `Path` is one on the host that must be reachable.

    Args:
        spec: What to start.
        program: The descriptor of process 1's code.
        seccomp: The descriptor of the filter on system calls.
    """
    storage = str(spec.limits.storage_mb * 1024 * 1024)
    found: list[str | Path] = [*_NAMESPACES, "--uid", "0", "--gid", "0", "--hostname", "sandbox"]
    found += [
        "--die-with-parent",
        "--new-session",
        "--as-pid-1",
        "--clearenv",
        "--cap-add",
        "ALL",
        "--seccomp",
        str(seccomp),
    ]
    found += ["--size", storage, "--tmpfs", "/", *_system()]
    found += ["--proc", "/proc", "--dev", "/dev"]
    found += ["--size", str(_SHM_MB * 1024 * 1024), "--tmpfs", "/dev/shm", "--chmod", "1777", "/dev/shm"]  # noqa: S108
    found += ["--remount-ro", "/dev"]
    if spec.role == "harness":
        found += ["--size", storage, "--tmpfs", "/tmp"]  # noqa: S108
        found += ["--size", storage, "--tmpfs", "/harness"]  # where agent.py is put
    folder, python = interpreter()
    if folder is not None:
        found += ["--ro-bind", folder, str(PYTHON)]
        if sysconfig.get_config_var("Py_ENABLE_SHARED"):
            # Its program looks for libpython where it was installed; without this it finds the system's, or none.
            found += ["--symlink", str(PYTHON / "lib"), str(folder / "lib")]
    for mount in spec.mounts:
        found += ["--ro-bind", mount.source.resolve(), str(mount.target)]
    workdir = str(spec.workdir or spec.image.workdir)
    numbers = (spec.limits.memory_mb, spec.limits.processes, OUTPUT_LIMIT_BYTES)
    found += ["--", python, "-I", "-S", f"/proc/self/fd/{program}", spec.role, workdir, python]
    return found + [str(number) for number in numbers]


@cache
def _system() -> tuple[str, ...]:
    found = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    for name in _ETC.split():
        path = Path("/etc", name)
        if path.exists():
            found += ["--ro-bind", str(path), str(path)]
    return tuple(found)
