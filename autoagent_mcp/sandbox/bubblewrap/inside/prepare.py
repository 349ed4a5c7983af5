"""What process 1 does to the root before the first command: what is written, and what is forbidden."""

from __future__ import annotations

import os

from autoagent_mcp.sandbox.bubblewrap.inside import kernel

_FOLDERS = {
    0o755: "etc home media mnt opt run srv var var/cache var/lib var/log var/opt var/spool",
    0o700: "root",
    0o1777: "tmp var/tmp",
}
_FILES = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "/etc/hostname": "sandbox\n",
}
_WRITABLE_USR = (
    "bin sbin lib share include src local local/bin local/sbin local/lib local/share local/include local/etc local/src"
)


def prepare(role: str, workdir: str, python: str) -> None:
    """Make the root ready for commands."""
    os.umask(0o022)
    for mode, folders in _FOLDERS.items():
        for folder in folders.split():
            os.makedirs(f"/{folder}", exist_ok=True)
            os.chmod(f"/{folder}", mode)
    for path, text in _FILES.items():
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    os.symlink("/proc/self/mounts", "/etc/mtab")
    os.symlink("/run", "/var/run")
    if role == "task":
        _make_usr_writable()
        _offer_python(python)
        _forbid_user_namespaces()
        os.makedirs(workdir, exist_ok=True)
    else:
        kernel.make_read_only("/")
    # A process that is not dumpable still owns its /proc files: by `autogroup` and `oom_score_adj` commands could reach
    # this one.
    kernel.bind("/proc/1")
    kernel.make_read_only("/proc/1", no_exec=True)


def _make_usr_writable() -> None:
    """Lay a writable layer over the read-only /usr; its files count to the root's size.

    The host's folders belong to a uid that does not exist in here, so nobody could write into them. A folder of the
    same name in the upper layer belongs to us and merges with the one below: the usual places get one each.
    """
    os.makedirs("/.usr/upper")
    os.mkdir("/.usr/work")
    for folder in _WRITABLE_USR.split():
        if os.path.isdir(f"/usr/{folder}") and not os.path.islink(f"/usr/{folder}"):
            os.mkdir(f"/.usr/upper/{folder}")
    kernel.mount("overlay", "/usr", "overlay", 0, "lowerdir=/usr,upperdir=/.usr/upper,workdir=/.usr/work,userxattr")
    kernel.mount("tmpfs", "/.usr", "tmpfs", kernel.MS_RDONLY, "size=4k,mode=0")


def _offer_python(python: str) -> None:
    """Tasks say `FROM python:...` and call `python3` or `python`: where the host has none, they get the server's."""
    if not os.path.exists("/usr/bin/python3") and not os.path.exists("/usr/local/bin/python3"):
        os.symlink(python, "/usr/local/bin/python3")
    if not os.path.exists("/usr/bin/python") and not os.path.exists("/usr/local/bin/python"):
        os.symlink("python3", "/usr/local/bin/python")
        if not os.path.exists("/usr/local/bin/python3"):
            os.symlink("/usr/bin/python3", "/usr/local/bin/python3")


def _forbid_user_namespaces() -> None:
    """Commands make no namespaces: in one of their own they could mount file systems whose size nobody counts."""
    with open("/proc/sys/user/max_user_namespaces", "wb", buffering=0) as file:
        file.write(b"0")
