"""The environment that run_task gets: Harbor's methods, over HTTP to the gateway."""

from __future__ import annotations

import asyncio
import io
import json
import shlex
import tarfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

_T = TypeVar("_T")
_THREADS = 24
_ERROR_LIMIT = 2000


class ExecResult(NamedTuple):
    """What a command gave; a return code other than 0 is no error."""

    stdout: str
    stderr: str
    return_code: int


class McpServer(NamedTuple):
    """An MCP server that the task offers, as Harbor tells it to its agents; it is reached from the task's sandbox."""

    name: str
    transport: str
    """"sse", "streamable-http" or "stdio"."""
    url: str | None
    command: str | None
    """With `args`, of a stdio server."""
    args: list[str]
    headers: dict[str, str]


class Environment:
    """The task's sandbox, with the names, arguments and results of Harbor's environment.

    Every method may be called many times at once; none blocks the event loop.

    Args:
        url: Of the gateway.
        token: The trial's.
        offers: `skills_dir` and `mcp_servers`, as in task.toml.
    """

    def __init__(self, url: str, token: str, offers: Mapping[str, Any]) -> None:
        self.skills_dir: str | None = offers.get("skills_dir")
        """The folder in the sandbox with the skills that the task offers; None where it offers none."""
        self.mcp_servers = tuple(McpServer(**server) for server in offers.get("mcp_servers", ()))
        """The MCP servers that the task offers."""
        self._address = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {token}"}
        self._threads = ThreadPoolExecutor(_THREADS, "environment")

    async def exec(
        self,
        command: str,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_sec: float | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """Run a bash command and wait for it.

        Raises:
            RuntimeError: The time was up, or the sandbox or the gateway refused.
        """
        order = {
            "command": command,
            "cwd": str(cwd) if cwd else None,
            "env": dict(env) if env else None,
            "timeout_sec": timeout_sec,
            "user": user,
        }
        body = json.dumps(order).encode()
        answer = json.loads(await self._in_thread(lambda: self._call("POST", "exec", body)))
        if answer.get("timed_out"):
            raise RuntimeError(f"Command timed out after {timeout_sec} seconds")
        return ExecResult(answer["stdout"], answer["stderr"], answer["return_code"])

    async def upload_file(self, source_path: str | Path, target_path: str) -> None:
        """Copy a local file to `target_path` in the sandbox."""
        target = PurePosixPath(target_path)
        await self._in_thread(lambda: self._put(str(target.parent), Path(source_path), target.name))

    async def upload_dir(self, source_dir: str | Path, target_dir: str) -> None:
        """Copy a local folder's content to `target_dir` in the sandbox."""
        await self._in_thread(lambda: self._put(str(target_dir), Path(source_dir), "."))

    async def download_file(self, source_path: str, target_path: str | Path) -> None:
        """Copy a file of the sandbox to the local `target_path`.

        Raises:
            FileNotFoundError: It is not there.
        """

        def work() -> None:
            with self._get(source_path) as archive:
                members = archive.getmembers()
                names = [member.name for member in members]
                content = archive.extractfile(members[0]) if names == [PurePosixPath(source_path).name] else None
                if content is None:
                    raise FileNotFoundError(f"{source_path} is not a file")
                target = Path(target_path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())

        await self._in_thread(work)

    async def download_dir(self, source_dir: str, target_dir: str | Path) -> None:
        """Copy the content of a folder of the sandbox to the local `target_dir`.

        Raises:
            FileNotFoundError: It is not there.
        """

        def work() -> None:
            with self._get(source_dir) as archive:
                Path(target_dir).mkdir(parents=True, exist_ok=True)
                # What an archive may do here, agent.py may do anyway; naming the filter keeps Python 3.12 quiet.
                archive.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
                archive.extractall(target_dir)  # noqa: S202 - see above

        await self._in_thread(work)

    async def is_file(self, path: str, user: str | int | None = None) -> bool:
        """Say whether `path` is a file in the sandbox."""
        return (await self.exec(f"test -f {shlex.quote(path)}", user=user)).return_code == 0

    async def is_dir(self, path: str, user: str | int | None = None) -> bool:
        """Say whether `path` is a folder in the sandbox."""
        return (await self.exec(f"test -d {shlex.quote(path)}", user=user)).return_code == 0

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _put(self, folder: str, source: Path, name: str) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(source, name)
        self._call("PUT", f"upload?path={quote(folder)}", archive.getvalue())

    def _get(self, path: str) -> tarfile.TarFile:
        return tarfile.open(fileobj=io.BytesIO(self._call("GET", f"download?path={quote(path)}")))

    def _call(self, method: str, place: str, body: bytes | None = None) -> bytes:
        connection = HTTPConnection(self._address)
        try:
            connection.request(method, f"/environment/{place}", body, self._headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status == HTTPStatus.NOT_FOUND:
            raise FileNotFoundError(_reason(content))
        if response.status != HTTPStatus.OK:
            raise RuntimeError(f"The environment answered {response.status}: {_reason(content)}")
        return content


def _reason(content: bytes) -> str:
    return content[:_ERROR_LIMIT].decode(errors="replace")
