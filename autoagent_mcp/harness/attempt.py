"""One attempt of a harness at a task, over the line to its host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread

from autoagent_mcp._text import quote
from autoagent_mcp.errors import HarnessError, SandboxError
from autoagent_mcp.harness.tunnel import Line, Tunnel
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.sandbox.base import Sandbox

_START_SEC = 120.0
"""For a child to be forked, which others may wait for too."""
_RELEASE_SEC = 10.0
"""A child is dead some milliseconds after it was told to be; a host that needs this long is not trusted any more."""
_PROBE_SEC = 20.0
_LINE_CHARS = 300
_TRACEBACK_CHARS = 2_000
_disk = anyio.CapacityLimiter(8)


class HarnessEnd(Frozen):
    """How the harness ended in a trial."""

    how: Literal["returned", "raised", "timeout", "crashed", "lost"]
    """lost: the harness sandbox itself went away before the trial had done anything."""
    detail: str = ""
    """What run_task returned, or why it did not; of what the harness said, the first 2000 characters."""


class Order(Frozen):
    """What to try."""

    trial: str
    """Its id, for messages."""
    token: str
    """What its requests to the gateway carry."""
    instruction: str
    """What run_task gets."""
    offers: Mapping[str, object] = {}
    """What the task offers beside its sandbox: `skills_dir` and `mcp_servers` as in task.toml, ready for JSON; run_task
    finds them as `environment.skills_dir` and `environment.mcp_servers`."""
    timeout_sec: float
    """After this it is killed."""
    log: Path
    """Gets what it prints, at most 1 MB, as it comes."""


class RefusedError(SandboxError):
    """The host cannot work where it was started."""


async def imported(tunnel: Tunnel, timeout_sec: float) -> tuple[str, ...]:
    """Wait until a host has imported agent.py; return what should be known of that.

    Raises:
        HarnessError: agent.py cannot be imported.
        RefusedError: The host may not make what it needs.
        SandboxError: The host did not come up.
    """
    with anyio.move_on_after(timeout_sec):
        await tunnel.heard.wait()
    words = tunnel.imported
    if words is None:
        if tunnel.reason:
            raise SandboxError(f"The harness sandbox did not come up: {tunnel.reason}", "Run again.")
        raise HarnessError(
            f"agent.py was still being imported after {timeout_sec:g} s.",
            "Do the work in run_task; importing should only define things.",
        )
    if "refused" in words:
        raise RefusedError(
            f"The harness host was refused what it needs: {words['refused'][:300]}.",
            "Allow unprivileged user namespaces on this machine (user.max_user_namespaces).",
        )
    if "error" in words:
        raise _import_error(words["error"])
    notice = words.get("notice", "")
    return (quote(notice, _LINE_CHARS),) if notice else ()


async def attempt(tunnel: Tunnel, order: Order) -> HarnessEnd:
    """Have a host try a task; when this returns or raises, nothing of the trial runs any more.

    Raises:
        OSError: `order.log` cannot be written.
    """
    line = await tunnel.start({"token": order.token, "instruction": order.instruction, "offers": order.offers})
    try:
        end = await _watch(line, order.timeout_sec, order.log)
    finally:
        with anyio.CancelScope(shield=True):
            await _release(tunnel, line, order.trial)
            await _write_log(line, order.log)
    return HarnessEnd.model_validate({"how": end[0], "detail": end[1]})


async def end_with_host(tunnel: Tunnel, sandbox: Sandbox) -> None:
    """Wait until a host is gone, and end its trials then."""
    await tunnel.gone.wait()
    tunnel.end_all(is_sandbox_lost=await is_lost(sandbox))


async def _watch(line: Line, timeout_sec: float, log: Path) -> tuple[str, str]:
    """Wait for its end, and say how it came; the time runs from when run_task is called."""
    with anyio.move_on_after(_START_SEC):
        await line.started.wait()
    if not line.started.is_set():
        return "crashed", f"It could not be started within {_START_SEC:g} s."
    with anyio.move_on_after(timeout_sec):
        await _follow(line, log)
    return line.end or ("timeout", f"run_task did not return within {timeout_sec:g} s.")


async def _follow(line: Line, log: Path) -> None:
    """Write what the harness prints, until it has ended."""
    while line.end is None:
        await _write_log(line, log)
        await line.changed.wait()
        line.changed = anyio.Event()


async def _write_log(line: Line, log: Path) -> None:
    data, line.log = bytes(line.log), bytearray()
    if data:
        await anyio.to_thread.run_sync(_append, log, data, limiter=_disk)


def _append(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


async def _release(tunnel: Tunnel, line: Line, trial: str) -> None:
    """See to it that nothing of a trial runs any more."""
    with anyio.move_on_after(_RELEASE_SEC):
        if not line.gone.is_set():
            await tunnel.kill(line)
        await line.gone.wait()
        return
    tunnel.fail(f"The harness host did not end trial {trial} within {_RELEASE_SEC:g} s.")


async def is_lost(sandbox: Sandbox) -> bool:
    """Tell whether a sandbox runs no commands any more."""
    try:
        with anyio.fail_after(_PROBE_SEC):
            await sandbox.exec("true")
    except (SandboxError, TimeoutError):
        return True
    return False


def _import_error(traceback: str) -> HarnessError:
    last = traceback.strip().splitlines()[-1].strip()
    cure = "Correct it and call again."
    if "_API_KEY" in traceback:
        cure = "Make clients in run_task or create_agent: only there the variables of the model are set."
    said = f"agent.py cannot be imported: {quote(last, _LINE_CHARS)}"
    return HarnessError(said, f"{cure} It ended so:\n{quote(traceback, _TRACEBACK_CHARS)}")
