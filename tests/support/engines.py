"""Docker engines for tests: a private one that may be restarted, and another way to the usual one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import docker
from anyio.abc import SocketAttribute, SocketStream
from docker.errors import DockerException

from autoagent_mcp.sandbox.docker.engine import Client

BASE = "python:3.11-slim"
_LABEL = "autoagent-mcp.workspace"
_START_SEC = 60
_SSHD_PATH = "/usr/sbin:/usr/local/sbin:/sbin"


class PrivateEngine:
    """An engine with a socket and a data folder of its own; needs root and dockerd.

    Args:
        folder: Where everything of it lies; a short path, as sockets lie in there.
    """

    def __init__(self, folder: Path) -> None:
        self.url = f"unix://{folder}/docker.sock"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        words = [f"--data-root={self._folder}/data", f"--exec-root={self._folder}/exec", f"--host={self.url}"]
        words += [f"--pidfile={self._folder}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false"]
        with (self._folder / "log").open("ab") as log:
            # In a network namespace of its own: started beside another engine, it would take that one's docker0 away.
            self._process = subprocess.Popen(["unshare", "--net", "dockerd", *words], stdout=log, stderr=log)
        end = time.monotonic() + _START_SEC
        while not self._answers():
            assert time.monotonic() < end, (self._folder / "log").read_text(encoding="utf-8")[-2000:]
            time.sleep(0.1)  # nothing tells when it listens

    def stop(self) -> None:
        """Stop it with all that runs on it, as an upgrade of the engine does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def load(self, image: str) -> None:
        """Copy an image of the usual engine into it."""
        saved = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
        subprocess.run(
            ["docker", "--host", self.url, "load", "--quiet"], stdin=saved.stdout, check=True, capture_output=True
        )
        if saved.stdout is not None:
            saved.stdout.close()
        saved.wait()

    def _answers(self) -> bool:
        try:
            client = docker.DockerClient(self.url)
            try:
                return bool(client.ping())
            finally:
                client.close()
        except DockerException:
            return False


def left(workspace_id: str) -> list[str]:
    """Name what the engine has of a workspace."""
    client: Client = docker.from_env()
    filters = {"label": f"{_LABEL}={workspace_id}"}
    try:
        containers = [f"container {one.id}" for one in client.containers.list(all=True, filters=filters)]
        networks = [f"network {one.id}" for one in client.networks.list(filters=filters)]
        return containers + networks + [f"volume {one.id}" for one in client.volumes.list(filters=filters)]
    finally:
        client.close()


def why_no_private_engine() -> str:
    """Say what this machine lacks for a private engine; "" where it lacks nothing."""
    if os.geteuid() != 0:
        return "only root may start an engine"
    return "" if shutil.which("dockerd") else "there is no dockerd"


@contextmanager
def private_engine() -> Generator[PrivateEngine]:
    """Run a private engine that has the base image."""
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    engine = PrivateEngine(folder)
    try:
        engine.start()
        engine.load(BASE)
        yield engine
    finally:
        engine.stop()
        subprocess.run(["umount", "--recursive", "--quiet", str(folder)], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def why_no_ssh() -> str:
    """Say what this machine lacks for an engine over ssh; "" where it lacks nothing."""
    if os.geteuid() != 0:
        return "only root may start sshd"
    return "" if shutil.which("sshd", path=_SSHD_PATH) else "there is no sshd"


@contextmanager
def over_ssh(home: Path) -> Generator[str]:
    """Offer the usual engine over ssh to the user whose home this is; yield its address for DOCKER_HOST."""
    (home / ".ssh").mkdir()
    for name in ("host", ".ssh/id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)], check=True)
    shutil.copy(home / ".ssh/id_ed25519.pub", home / "authorized")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    Path("/run/sshd").mkdir(exist_ok=True)
    sshd = shutil.which("sshd", path=_SSHD_PATH) or "sshd"
    words = [f"-p{port}", f"-h{home}/host", f"-oAuthorizedKeysFile={home}/authorized", "-oStrictModes=no"]
    words += ["-oPidFile=none", "-oListenAddress=127.0.0.1", "-oMaxStartups=100", "-oMaxSessions=100"]
    daemon = subprocess.Popen([sshd, "-D", "-f", "/dev/null", *words], stderr=subprocess.DEVNULL)
    try:
        known = b""
        while not known:
            assert daemon.poll() is None, "sshd has ended"
            asked = subprocess.run(["ssh-keyscan", f"-p{port}", "127.0.0.1"], capture_output=True, check=False)
            known = asked.stdout
        (home / ".ssh" / "known_hosts").write_bytes(known)
        yield f"ssh://root@127.0.0.1:{port}"
    finally:
        daemon.terminate()
        daemon.wait()


class Way:
    """Another way to the usual engine: a TCP port of loopback. Made by `over_tcp`."""

    def __init__(self, port: int, cut: Callable[[], None]) -> None:
        self.url = f"tcp://127.0.0.1:{port}"
        """For DOCKER_HOST."""
        self.cut = cut
        """Cuts it for good, with every connection that takes it."""
        self.tells_ends = True
        """Whether it carries that the engine closed a connection."""
        self.held, self.gone = anyio.Event(), anyio.Event()
        """Set once somebody has come while it was held, and has hung up."""
        self._flows = anyio.Event()
        self._flows.set()
        self._carrying: set[anyio.CancelScope] = set()

    def hold(self) -> None:
        """Cut every connection; new ones are taken, and nothing is carried on them until `go_on`."""
        self._flows = anyio.Event()
        for scope in self._carrying:
            scope.cancel()

    def go_on(self) -> None:
        """Carry again, what came meanwhile too."""
        self._flows.set()

    async def serve(self, near: SocketStream) -> None:
        """Carry a connection."""
        is_held = not self._flows.is_set()
        async with near:
            if is_held:
                self.held.set()
                await self._flows.wait()
            async with await anyio.connect_unix("/var/run/docker.sock") as far, anyio.create_task_group() as group:
                self._carrying.add(group.cancel_scope)
                group.start_soon(_carry, near, far)
                group.start_soon(_carry, far, near, lambda: self.tells_ends)
            self._carrying.discard(group.cancel_scope)
        if is_held:
            self.gone.set()


@asynccontextmanager
async def over_tcp() -> AsyncGenerator[Way]:
    """Offer the usual engine at a TCP port of loopback."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def listen() -> None:
        async with listener:
            await listener.serve(way.serve)

    async with anyio.create_task_group() as group:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no database in sight
        way = Way(port, group.cancel_scope.cancel)
        group.start_soon(listen)
        yield way
        group.cancel_scope.cancel()


async def _carry(source: SocketStream, sink: SocketStream, tells_end: Callable[[], bool] = lambda: True) -> None:
    try:
        async for data in source:
            await sink.send(data)
        if tells_end():
            await sink.send_eof()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        await sink.aclose()
