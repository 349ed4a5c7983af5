"""agent.py's own part: it is imported, and its run_task called."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import resource
import socket
import sys
import traceback
from collections.abc import Iterable
from types import ModuleType
from typing import Any, NoReturn

from autoagent_mcp.harness.inside.environment import Environment

WORKSPACE = "/harness/workspace"
"""Where agent.py and .agent/ lie."""
_DETAIL_LIMIT = 2000


def prepare(port: int, libraries: Iterable[str]) -> None:
    """Set what agent.py finds: the gateway's variables, its folder and its libraries."""
    sys.path[:] = [WORKSPACE, *sys.path, *filter(None, libraries)]
    os.environ.update(
        OPENAI_BASE_URL=f"http://127.0.0.1:{port}/openai/v1",
        ANTHROPIC_BASE_URL=f"http://127.0.0.1:{port}/anthropic",
        OPENAI_AGENTS_DISABLE_TRACING="1",
    )


def try_import() -> dict[str, str]:
    """Import agent.py; return its traceback as "error" where that fails."""
    try:
        _load()
    except BaseException:  # noqa: BLE001 - whatever agent.py does at import is told to the server
        return {"error": traceback.format_exc()[-_DETAIL_LIMIT:]}
    return {}


def _load() -> ModuleType:
    agent = importlib.import_module("agent")
    _ = agent.run_task
    return agent


def receive(host: socket.socket) -> dict[str, Any]:
    """Wait for the order."""
    with host.makefile("rb") as lines:
        return json.loads(lines.readline())


def run(order: dict[str, Any], host: socket.socket, port: int) -> NoReturn:
    """Call run_task, and tell the host how it ended; never returns."""
    token = order["token"]
    os.environ.update(OPENAI_API_KEY=token, ANTHROPIC_API_KEY=token)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        asyncio.run(_run_task(order, host, port))
    except BaseException as error:  # noqa: BLE001 - whatever run_task raises is told to the server
        traceback.print_exc()
        _say(host, "raised", "".join(traceback.format_exception_only(type(error), error)).strip())
    finally:
        sys.stderr.flush()
        os._exit(0)


async def _run_task(order: dict[str, Any], host: socket.socket, port: int) -> None:
    agent = _load()
    environment = Environment(f"http://127.0.0.1:{port}", order["token"], order["offers"])
    answer = await agent.run_task(environment, order["instruction"])
    _say(host, "returned", str(answer))


def _say(host: socket.socket, how: str, detail: str) -> None:
    sys.stdout.flush()
    host.sendall(json.dumps({"how": how, "detail": detail[:_DETAIL_LIMIT]}).encode() + b"\n")


def keep_only(kept: int, output: int) -> None:
    """Close every file but one, with stdout and stderr going to `output` and nothing at stdin."""
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.set_inheritable(kept, False)
    os.closerange(3, kept)
    os.closerange(kept + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
