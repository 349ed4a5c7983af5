"""The machine: what may be written, how much room there is, what time it is."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import time
from pathlib import Path

from autoagent_mcp.doctor.finding import Finding, ok, warning
from autoagent_mcp.workspace import Workspace, user_cache, user_state

_LITTLE_MB = 2_000
_TOO_LITTLE_MB = 200
_SKEW_SEC = 60.0
_BYTES_PER_MB = 1_000_000
_CLOCK_CURE = "Set this machine's clock: timedatectl set-ntp true."


def examine(workspace: Workspace) -> tuple[Finding, ...]:
    """Look at the folders that a server writes to, at their disk, and at the command that clients start."""
    places = (workspace.folder, workspace.state, workspace.results, user_state(), user_cache())
    return _writable(places), _room(places), _command()


def _writable(places: tuple[Path, ...]) -> Finding:
    closed = [str(place) for place in places if not os.access(_existing(place), os.W_OK)]
    if not closed:
        return ok("permissions", "the workspace and your state and cache folders can be written")
    return Finding(
        check="permissions",
        state="failed",
        said=f"{' and '.join(closed)} cannot be written by this user",
        cure="Give yourself the right (chown, chmod), or set XDG_STATE_HOME and XDG_CACHE_HOME to folders of yours.",
    )


def _room(places: tuple[Path, ...]) -> Finding:
    free_mb, place = min((shutil.disk_usage(_existing(place)).free // _BYTES_PER_MB, place) for place in places)
    said = f"{free_mb} MB are free at {place}"
    if free_mb >= _LITTLE_MB:
        return ok("disk", said)
    return Finding(
        check="disk",
        state="warning" if free_mb >= _TOO_LITTLE_MB else "failed",
        said=f"only {said}",
        cure="Free some; `autoagent-mcp clean` removes what this tool made and can make again.",
    )


def _existing(place: Path) -> Path:
    """Return the place, or the nearest folder above it that is there."""
    return next(path for path in (place, *place.parents) if path.exists())


def _command() -> Finding:
    if found := shutil.which("autoagent-mcp"):
        return ok("command", f"clients start {found}")
    here = Path(sysconfig.get_path("scripts")) / "autoagent-mcp"
    return warning(
        "command",
        f"autoagent-mcp is not on the PATH, so that .mcp.json cannot start it by that name ({sys.prefix} has it)",
        f"Install it (in its clone: `uv tool install .`), or let `{here} connect CLIENT --write` name its place.",
    )


def clock(workspace: Workspace, provider_time: float | None) -> Finding:
    """Compare this machine's time with the model provider's, or with that of the workspace's files.

    Args:
        workspace: Whose files cannot be younger than now.
        provider_time: In seconds since the epoch; None where nobody was asked, or did not say.
    """
    if provider_time is None:
        written = (
            path.stat().st_mtime for path in (workspace.folder, workspace.agent, workspace.ledger) if path.exists()
        )
        ahead_sec = max(written, default=0) - time.time()
        if ahead_sec <= _SKEW_SEC:
            return ok("clock", "no file here is from the future; no provider was asked for the time")
        return warning("clock", f"a file of the workspace is from {ahead_sec:.0f} s ahead of now", _CLOCK_CURE)
    skew_sec = time.time() - provider_time
    if abs(skew_sec) <= _SKEW_SEC:
        return ok("clock", "agrees with the provider's")
    return warning(
        "clock",
        f"is {abs(skew_sec):.0f} s {'ahead of' if skew_sec > 0 else 'behind'} the provider's, and so are all times in "
        "ledger and traces",
        _CLOCK_CURE,
    )
