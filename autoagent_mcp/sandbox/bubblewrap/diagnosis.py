"""Why bubblewrap cannot start on this machine, and the cure.

Sources: user_namespaces(7); https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces;
https://docs.docker.com/engine/security/seccomp/; docker run's `--security-opt systempaths=unconfined`.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

_OLDEST_LINUX = (5, 11)
"""The first that lets an ordinary user mount overlays."""
_OTHERWISE = "or use the Docker backend"
_SWITCHES = {
    "kernel/unprivileged_userns_clone": ("0", "kernel.unprivileged_userns_clone=1"),
    "user/max_user_namespaces": ("0", "user.max_user_namespaces=15000"),
    "kernel/apparmor_restrict_unprivileged_userns": ("1", "kernel.apparmor_restrict_unprivileged_userns=0"),
}


def cure() -> str:
    """Return what to do on this machine, where a sandbox could not be started."""
    if sys.platform != "linux":
        return "bubblewrap needs Linux: use the Docker backend."
    if tuple(int(word) for word in platform.release().split(".")[:2]) < _OLDEST_LINUX:
        return f"This Linux is {platform.release()}, and 5.11 is the oldest that can: upgrade it, {_OTHERWISE}."
    for path, (bad, setting) in _SWITCHES.items():
        if _read(Path("/proc/sys", path)) == bad:
            return f"User namespaces are switched off: run `sudo sysctl -w {setting}`, {_OTHERWISE}."
    if any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")):
        return (
            "This is a container: start it with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            f"--security-opt systempaths=unconfined`, {_OTHERWISE}."
        )
    return f"Look whether `unshare --user --map-root-user true` works for this user, {_OTHERWISE}."


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
