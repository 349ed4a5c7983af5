"""Harnesses in real sandboxes, with a gateway that notes what it is asked."""

from __future__ import annotations

import json
import os
import signal
import textwrap
import threading
import uuid
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any, cast

import anyio
import docker
import pytest
from support.fake_sandbox import FakeSandbox

from autoagent_mcp.errors import SandboxError
from autoagent_mcp.harness import process
from autoagent_mcp.harness.process import HarnessEnd, HarnessProcess, Order
from autoagent_mcp.sandbox.base import Backend, Image, Sandbox, SandboxSpec
from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend
from autoagent_mcp.sandbox.docker import labels
from autoagent_mcp.sandbox.docker.backend import open_backend

HARNESS_BASE = "python:3.11-slim"
_WORKSPACE_ID = uuid.uuid4().hex[:12]
"""Other tests may run on the same engine."""


class StubGateway(ThreadingHTTPServer):
    """Answers every command with what was asked, and `hold` with nothing until it is released."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[tuple[str, str, object]] = []
        """Path, token and body of each request."""
        self.commands = threading.Condition()
        self.release = threading.Event()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server_port

    def note(self, path: str, token: str, body: object) -> None:
        """Keep a request, and wake who waits for it."""
        with self.commands:
            self.calls.append((path, token, body))
            self.commands.notify_all()

    def wait_for(self, command: str, times: int = 1, timeout_sec: float = 20) -> None:
        """Wait until the harness asked for a command so many times."""
        with self.commands:
            assert self.commands.wait_for(lambda: self.said().count(command) >= times, timeout_sec), self.said()

    def wait_for_path(self, path: str, timeout_sec: float = 20) -> None:
        """Wait until the harness asked for a path."""
        with self.commands:
            assert self.commands.wait_for(lambda: path in [call[0] for call in self.calls], timeout_sec), self.calls

    def said(self) -> list[str]:
        """Return every command, in order."""
        asked = [cast("dict[str, str]", body) for path, _, body in self.calls if path == "/environment/exec"]
        return [body["command"] for body in asked]

    def handle_error(self, request: object, client_address: object) -> None:
        """Harnesses hang up as they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def gateway(self) -> StubGateway:
        """Whose request this is."""
        return cast("StubGateway", self.server)

    def do_POST(self) -> None:
        if self.path == "/stall":
            self.gateway.note(self.path, "", None)
            self.gateway.release.wait(60)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked: object = json.loads(body) if body.startswith(b"{") else body
        self.gateway.note(self.path.partition("?")[0], self.headers.get("Authorization", ""), asked)
        if self.path == "/environment/exec":
            self._answer(json.dumps(self._exec(cast("dict[str, str]", asked))).encode())
        else:
            self._answer(b"{}")

    def do_PUT(self) -> None:
        self.do_POST()

    def do_GET(self) -> None:
        self.gateway.note(self.path, self.headers.get("Authorization", ""), None)
        if self.path == "/big":
            self._answer(bytes(20_000_000))
        else:
            self._answer(b"not found", 404)

    def _exec(self, asked: dict[str, str]) -> dict[str, Any]:
        command = asked["command"]
        if command == "hold":
            self.gateway.release.wait(60)
        if command == "sleep":
            return {"timed_out": True, "stdout": "", "stderr": "", "return_code": 124}
        return {"stdout": f"did {command}", "stderr": "", "return_code": 0 if command != "false" else 1}

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing."""


@contextmanager
def stub_gateway() -> Generator[StubGateway]:
    """Serve a stub gateway from a thread."""
    with StubGateway() as gateway:
        thread = threading.Thread(target=gateway.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield gateway
        finally:
            gateway.release.set()
            gateway.shutdown()
            thread.join()


class Trials:
    """A harness under test."""

    def __init__(
        self, harness: HarnessProcess, gateway: StubGateway, folder: Path, sandbox: Sandbox, user: str | None = None
    ) -> None:
        self.harness, self.gateway = harness, gateway
        self._folder, self._sandbox, self._user = folder, sandbox, user

    async def run(
        self,
        instruction: str = "",
        *,
        trial: str = "trial",
        timeout_sec: float = 20,
        offers: Mapping[str, object] | None = None,
    ) -> HarnessEnd:
        """Try one task."""
        order = Order(
            trial=trial,
            token=f"token-of-{trial}",
            instruction=instruction,
            timeout_sec=timeout_sec,
            log=self._folder / f"{trial}.log",
            offers=offers or {},
        )
        return await self.harness.try_task(order, self._sandbox, self._user)

    def log(self, trial: str = "trial") -> str:
        """Return what a trial's harness printed."""
        path = self._folder / f"{trial}.log"
        return path.read_text() if path.exists() else ""


def agent(body: str, *, top: str = "") -> dict[str, bytes]:
    """Return a harness whose run_task has `body`, with `top` run at import."""
    code = textwrap.dedent(top) + "\nasync def run_task(environment, instruction):\n"
    return {"agent.py": (code + textwrap.indent(textwrap.dedent(body), "    ")).encode()}


@pytest.fixture
async def backend(backend_name: str, tmp_path: Path) -> AsyncGenerator[Backend]:
    """Open each backend in turn."""
    if backend_name == "bubblewrap":
        yield BubblewrapBackend(_WORKSPACE_ID, tmp_path / "cache")
        return
    async with open_backend(
        _WORKSPACE_ID, cache=tmp_path / "cache", state=tmp_path / "state", harness_base=HARNESS_BASE
    ) as opened:
        yield opened


def image_env() -> set[str]:
    """Return the names of the variables that the harness image's base sets."""
    client: Any = docker.APIClient()
    pairs: list[str] = client.inspect_image(HARNESS_BASE)["Config"]["Env"]
    client.close()
    return {pair.partition("=")[0] for pair in pairs}


def kill_sandboxes(backend_name: str) -> None:
    """Kill every sandbox that this process started, from outside."""
    if backend_name == "docker":
        client = docker.from_env()
        for container in client.containers.list(filters={"label": f"{labels.WORKSPACE}={_WORKSPACE_ID}"}):
            container.remove(force=True)
        client.close()
        return
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
        except OSError:
            continue
        if f"PPid:\t{os.getpid()}\n" in status and status.startswith("Name:\tbwrap\n"):
            os.kill(int(folder.name), signal.SIGKILL)


class KeptSandboxes:
    """A backend that keeps the sandboxes that are live, so that a test can break one."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.live: list[Sandbox] = []
        self.gone = anyio.Event()
        self.is_refusing = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the backend has
        return getattr(self._backend, name)

    @asynccontextmanager
    async def start(self, spec: SandboxSpec) -> AsyncGenerator[Sandbox]:
        """Start one, or refuse."""
        if self.is_refusing:
            raise SandboxError("No more sandboxes.", "Stop the test.")
        async with self._backend.start(spec) as sandbox:
            self.live.append(sandbox)
            try:
                yield sandbox
            finally:
                self.live.remove(sandbox)
                self.gone.set()


class WithoutNamespaces(KeptSandboxes):
    """Starts sandboxes in which no further namespaces can be made, as some kernels are set up."""

    @asynccontextmanager
    async def start(self, spec: SandboxSpec) -> AsyncGenerator[Sandbox]:
        """Start one for a task, where they are forbidden."""
        async with super().start(spec.model_copy(update={"role": "task"})) as sandbox:
            yield sandbox


@asynccontextmanager
async def trials(
    files: Mapping[str, bytes], folder: Path, backend: Backend | KeptSandboxes, import_timeout_sec: float = 60
) -> AsyncGenerator[Trials]:
    """Start a harness in a real sandbox."""
    with stub_gateway() as gateway:
        async with process.start(
            cast("Backend", backend),
            files,
            name="harness",
            gateway_port=gateway.port,
            import_timeout_sec=import_timeout_sec,
        ) as harness:
            yield Trials(harness, gateway, folder, FakeSandbox())


@asynccontextmanager
async def trials_inside(
    files: Mapping[str, bytes], folder: Path, backend: Backend, image: str, *, user: str | None = None
) -> AsyncGenerator[tuple[Trials, Sandbox]]:
    """Start a task's sandbox and let a harness work inside it."""
    with stub_gateway() as gateway:
        async with process.start(backend, files, name="harness", gateway_port=gateway.port, where="task") as harness:
            spec = SandboxSpec(name="task", image=Image(id=image, base=image), workdir=PurePosixPath("/srv"))
            async with backend.start(await harness.equipped(spec)) as sandbox:
                yield Trials(harness, gateway, folder, sandbox, user), sandbox


def processes(marker: str) -> list[int]:
    """Return the processes of this machine that have `marker` as an argument."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if marker.encode() in words:
            found.append(int(folder.name))
    return found
