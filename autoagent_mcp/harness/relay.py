"""A way from a task sandbox to the gateway, for a verifier that asks a model.

It needs no network: a small process inside listens on a loopback port and carries what connects there over its stdio,
in the frames of the harness tunnel. Whatever ran in the sandbox before may have replaced its Python, so what comes out
is believed as little as a harness; all that it can reach is the gateway's port.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from autoagent_mcp.errors import SandboxError, SandboxRefused
from autoagent_mcp.harness import program
from autoagent_mcp.harness.tunnel import Tunnel, connect
from autoagent_mcp.sandbox.base import Process, Sandbox

_MODULES = ("frames", "streams", "wire", "relay")
_OLDEST_PYTHON = (3, 8)
_START_SEC = 30.0
_LARGEST_PORT = 65535


@asynccontextmanager
async def offered(sandbox: Sandbox, gateway_port: int) -> AsyncGenerator[int]:
    """Let what runs in a sandbox reach the gateway for as long as the context lasts; give the port on its 127.0.0.1.

    Should the relay be killed from inside, connections are refused there from then on.

    Args:
        sandbox: Where.
        gateway_port: Where the gateway listens on the server's own 127.0.0.1.

    Raises:
        SandboxRefused: The sandbox has no Python 3.8 or newer.
        SandboxError: The sandbox is gone, or the relay did not come up.
    """
    process = await sandbox.spawn(program.argv(_MODULES, _OLDEST_PYTHON))
    try:
        async with connect(process, gateway_port, "The relay") as tunnel:
            port = await _port(tunnel, process)
            await tunnel.start({})
            yield port
    finally:
        with anyio.CancelScope(shield=True):
            await process.kill()


async def _port(tunnel: Tunnel, process: Process) -> int:
    with anyio.move_on_after(_START_SEC):
        await tunnel.heard.wait()
    if tunnel.imported is None and await program.found_no_python(process):
        raise SandboxRefused(
            "A model can be offered inside a sandbox only where there is a Python 3.8 or newer.",
            "Install python3 in the task's image.",
        )
    said = (tunnel.imported or {}).get("port", "")
    if not (said.isascii() and said.isdecimal() and 0 < int(said[:6]) <= _LARGEST_PORT):
        reason = tunnel.reason or f"It told no port within {_START_SEC:g} s."
        raise SandboxError(f"The relay to the model did not come up: {reason}", "The trial is tried again.")
    return int(said)
