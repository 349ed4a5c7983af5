"""`autoagent-mcp http` as a process, and what a client needs to speak to it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio
import httpx2
from anyio.abc import ByteReceiveStream, ByteSendStream, Process, SocketAttribute, SocketStream
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from support.clients import Call, Era, caller

from autoagent_mcp.workspace import Workspace

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@dataclass
class Served:
    """The command while it runs."""

    process: Process
    url: str
    token: str
    stderr: Path

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1].removesuffix("/mcp"))

    @asynccontextmanager
    async def http(self, **headers: str) -> AsyncGenerator[httpx2.AsyncClient]:
        """Speak HTTP to it and show the token."""
        shown = {"Authorization": f"Bearer {self.token}", **ACCEPT, **headers}
        client = httpx2.AsyncClient(headers=shown, timeout=300, trust_env=False)
        try:
            yield client
        finally:
            await client.aclose()

    @asynccontextmanager
    async def client(self, era: Era = "auto") -> AsyncGenerator[Call]:
        """Speak MCP to it."""
        async with self.http() as http, Client(streamable_http_client(self.url, http_client=http), mode=era) as client:
            yield caller(client)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        with anyio.fail_after(30):
            return await self.process.wait()


@asynccontextmanager
async def recording(port: int, out: Path) -> AsyncGenerator[int]:
    """Pass connections on to a port of this machine, and keep every byte that comes back from there."""

    async def copy(source: ByteReceiveStream, sink: ByteSendStream, file: BinaryIO | None = None) -> None:
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for piece in source:
                if file:
                    file.write(piece)
                await sink.send(piece)
        await sink.aclose()

    async def pass_on(client: SocketStream) -> None:
        async with client, await anyio.connect_tcp("127.0.0.1", port) as server, anyio.create_task_group() as group:
            group.start_soon(copy, client, server)
            group.start_soon(copy, server, client, file)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    with out.open("wb") as file:
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, pass_on)
            yield listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
            group.cancel_scope.cancel()


@asynccontextmanager
async def served(workspace: Workspace, *words: str, **env: str) -> AsyncGenerator[Served]:
    """Serve a workspace on a free port, with a token that the server makes unless one is given."""
    command = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(workspace.folder), "http", "--port", "0"]
    with tempfile.NamedTemporaryFile() as said:
        process = await anyio.open_process([*command, *words], env={**os.environ, **env}, stderr=said)
        try:
            assert process.stdout is not None
            with anyio.fail_after(60):
                url = (await process.stdout.receive()).decode().strip()
            stderr = Path(said.name)
            (place,) = re.findall(r"the token in (\S+\.token)\.", stderr.read_text(encoding="utf-8")) or [""]
            token = Path(place).read_text(encoding="utf-8").strip() if place else env["AUTOAGENT_HTTP_TOKEN"]
            yield Served(process, url, token, stderr)
        finally:
            if process.returncode is None:
                process.terminate()
            with anyio.CancelScope(shield=True):
                await process.wait()
            await process.aclose()
