"""One start of the client, to the end of the last process that it left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.abc import Process

from autoagent_mcp.errors import SetupError
from autoagent_mcp.night import leftovers

_POLL_SEC = 0.5
_BURIAL_SEC = 0.05
_LOG_LIMIT_BYTES = 1_000_000_000
_TIED = (sys.executable, "-IS", str(Path(__file__).with_name("tied.py"))) if sys.platform == "linux" else ()
_INSTALL = "Install it, or name it with its path."


async def run(
    command: list[str],
    log: Path,
    *,
    folder: Path,
    variables: Mapping[str, str],
    grace_sec: float,
    over: Callable[[], str],
    done: Callable[[], str],
) -> tuple[int | None, bool]:
    """Run the client until it ends, or end it when the night is over.

    Args:
        command: Its words.
        log: The file for all that it prints.
        folder: Where it works.
        variables: What its environment has besides ours.
        grace_sec: How long it may take to end by itself where the work is done, and after each signal.
        over: Why the night is over, asked twice a second; empty while it is not.
        done: The same for the work alone: the client hears of that from its server and is let finish.

    Returns:
        Its status, and whether it ended by itself.

    Raises:
        SetupError: There is no such program, or it cannot be started.
    """
    process = await _started(command, log, folder, variables)
    is_alone = False
    try:
        is_alone = await _outlived(process, log, over)
        if not is_alone and done():
            is_alone = await _ended(process, grace_sec)
    finally:
        with anyio.CancelScope(shield=True):
            first = () if is_alone else (signal.SIGINT,)
            await _end(process, (*first, signal.SIGTERM, signal.SIGKILL), grace_sec, is_patient=is_alone)
    return process.returncode, is_alone


async def _started(command: list[str], log: Path, folder: Path, variables: Mapping[str, str]) -> Process:
    env = {**os.environ, **variables}
    program = folder / command[0] if os.sep in command[0] else command[0]
    if shutil.which(program, path=env.get("PATH")) is None:
        raise SetupError(f"{command[0]} cannot be started: there is no such program.", _INSTALL)
    try:
        with log.open("ab") as file:  # so that it can be emptied meanwhile
            return await anyio.open_process(
                [*_TIED, *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=folder,
                env=env,
                start_new_session=True,
            )
    except OSError as error:
        raise SetupError(f"{command[0]} cannot be started: {error.strerror}.", _INSTALL) from error


async def _outlived(process: Process, log: Path, over: Callable[[], str]) -> bool:
    """Wait until the client has ended, and say so, or until the night is over."""
    while not over():
        if await _ended(process, _POLL_SEC):
            return True
        _bound(log)
    return False


def _bound(log: Path) -> None:
    """Empty a log that would fill the disk, on which the ledger lies too."""
    with suppress(OSError):
        if log.stat().st_size > _LOG_LIMIT_BYTES:
            os.truncate(log, 0)


async def _ended(process: Process, within_sec: float) -> bool:
    with anyio.move_on_after(within_sec):
        await process.wait()
    return process.returncode is not None


async def _end(process: Process, numbers: tuple[signal.Signals, ...], grace_sec: float, *, is_patient: bool) -> None:
    """End the client and what it left, its server too, with one signal after the other."""
    if is_patient and await _gone(process, grace_sec):
        return
    for number in numbers:
        leftovers.send(process.pid, number)
        if await _gone(process, grace_sec):
            return


async def _gone(process: Process, within_sec: float) -> bool:
    with anyio.move_on_after(within_sec):
        await process.wait()
        while leftovers.is_any(process.pid):  # noqa: ASYNC110 - only the kernel knows of them
            await anyio.sleep(_BURIAL_SEC)
        return True
    return False
