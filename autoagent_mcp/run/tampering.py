"""What an agent changed of the system that then tests it. Pure.

Installing packages changes hundreds of such paths, so this is for people to look at: it decides nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from autoagent_mcp._text import named
from autoagent_mcp.models.trial import Trial

_SYSTEM = re.compile(
    r"""
    /(bin|sbin|usr/bin|usr/sbin|usr/local/bin|usr/local/sbin|usr/local/lib|lib\w*|usr/lib\w*|usr/libexec)/.+  # programs
    | /etc/(ld\.so\.|profile|bash|environment|cron)\S*                          # what every shell or linker reads
    | /root/\.(bashrc|profile|bash_profile) | /var/spool/cron/.+
    | .*/(site|dist)-packages/.+\.pth | .*/(sitecustomize|usercustomize)\.py    # what every Python reads
    | /tests/.+ | /logs/verifier/.+                                             # where the tests come, and their reward
    """,
    re.VERBOSE,
)
_PYTEST = {"conftest.py", "pytest.ini", "setup.cfg", "tox.ini", "pyproject.toml"}
"""What pytest reads above its tests, and where it is started (https://docs.pytest.org/en/stable/reference/customize.html)."""
_INSTALLED = re.compile(r"/var/lib/(dpkg|apk|rpm)/.+|.*/(site|dist)-packages/[^/]+\.dist-info/RECORD")
_GROUP_PARTS = 3
_NAMED = 5


def system_paths(changes: Iterable[str], workdir: PurePosixPath) -> tuple[str, ...]:
    """Return which of a sandbox's changed paths decide how tests run in it, sorted; of folders, what is in them."""
    changed = set(changes)
    folders = {str(parent) for path in changed for parent in PurePosixPath(path).parents}
    return tuple(path for path in sorted(changed - folders) if _decides(path, workdir))


def _decides(path: str, workdir: PurePosixPath) -> bool:
    place = PurePosixPath(path)
    is_read_by_pytest = place.name in _PYTEST and place.parent in (workdir, *workdir.parents)
    return is_read_by_pytest or _SYSTEM.fullmatch(path) is not None


def notice(found: tuple[str, ...], changes: Iterable[str]) -> str:
    """Say in a sentence what was found in a trial."""
    shown = ", ".join(found) if len(found) <= _NAMED else ", ".join(_groups(found))
    why = " It installed packages, which does this." if any(_INSTALLED.fullmatch(path) for path in changes) else ""
    paths = "1 system path" if len(found) == 1 else f"{len(found)} system paths"
    return f"The agent changed {paths} before the tests ran in the same sandbox: {shown}.{why}"


def run_notice(trials: Iterable[Trial]) -> tuple[str, ...]:
    """Say in which trials of a run something was found, if any."""
    found = {trial.id: trial.changed_system_paths for trial in trials if trial.changed_system_paths}
    if not found:
        return ()
    counts = [f"{trial} ({count})" for trial, count in sorted(found.items(), key=lambda item: (-item[1], item[0]))]
    shown = named(counts, _NAMED)
    text = (
        f"In {len(found)} of the trials the agent changed system paths (programs, libraries, start-up files) before "
        f"the tests ran in the same sandbox: {shown}. Installing packages does so too; the trials' notices name them."
    )
    return (text,)


def _groups(paths: Iterable[str]) -> list[str]:
    counted = Counter("/".join(path.split("/")[:_GROUP_PARTS]) for path in paths)
    shown = [f"{folder} ({count})" for folder, count in counted.most_common(_NAMED)]
    return shown if len(counted) <= _NAMED else [*shown, f"{len(counted) - _NAMED} more folders"]
