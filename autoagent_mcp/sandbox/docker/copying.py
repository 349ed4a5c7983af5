"""Tar archives into and out of a container, by the engine's own hand; blocks.

The engine packs and unpacks in a chroot of the container's root (moby, `pkg/chrootarchive`): nothing inside is trusted
for it, and links in there lead nowhere else.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import requests
from docker.errors import APIError, NotFound, create_api_error_from_http_exception

from autoagent_mcp.errors import SandboxRefused
from autoagent_mcp.sandbox.docker.engine import Client, clause

if TYPE_CHECKING:
    from autoagent_mcp.sandbox.base import Sandbox

_CHUNK_BYTES = 1 << 20
_FOLDER, _LINK = 1 << 31, 1 << 27
"""Bits of Go's FileMode (https://pkg.go.dev/io/fs#FileMode), in which the engine tells what lies at a path."""
_UNPACK = (
    "import sys, tarfile\n"
    "t = tarfile.open(fileobj=sys.stdin.buffer, mode='r|')\n"
    "t.extraction_filter = getattr(tarfile, 'fully_trusted_filter', None)\n"
    "t.extractall(sys.argv[1])\n"
)


_Entry: TypeAlias = tuple[str, tarfile.TarInfo, IO[bytes] | None]
"""A path in an archive to be made, and what comes there."""


class TooLargeError(Exception):
    """An archive is over its limit."""


def put(client: Client, container: str, archive: bytes, target: str) -> None:
    """Unpack an archive below a folder, which is made where it is missing; all of it belongs to root.

    Raises:
        docker.errors.APIError: The engine refused.
    """
    archive = _of_root(archive)
    try:
        client.put_archive(container, target, archive)
    except NotFound as error:
        if "No such container" in str(error.explanation):
            raise
        client.put_archive(container, "/", _folders(target))
        client.put_archive(container, target, archive)


def _of_root(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
        if all(member.uid == member.gid == 0 for member in opened):
            return archive
        return _pack(_relative(opened, 0))


def _folders(target: str) -> bytes:
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            path = PurePosixPath("/", target).relative_to("/")
            for folder in (*reversed(path.parents[:-1]), path):
                member = tarfile.TarInfo(str(folder))
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
        return buffer.getvalue()


async def put_inside(sandbox: Sandbox, archive: bytes, target: str) -> None:
    """Unpack an archive where the engine cannot: in a tmpfs beside a read-only root, by a Python that is there.

    Raises:
        SandboxRefused: It does not fit.
        SandboxError: The sandbox is gone.
    """
    process = await sandbox.spawn(("python3", "-W", "ignore", "-c", _UNPACK, target))
    try:
        await process.stdin.send(archive)
        await process.stdin.aclose()
        said = b"".join([part async for part in process.stderr])
        if await process.wait() != 0:
            complaint = clause(said.decode(errors="replace")[-300:])
            raise SandboxRefused(f"Files cannot be put below {target}: {complaint}.", "Put less.")
    finally:
        await process.kill()


def get(client: Client, container: str, source: str, limit_bytes: int) -> bytes | None:
    """Return a file under its name, or a folder's content, as an archive; sockets, pipes and devices are left out.

    Raises:
        TooLargeError: It is over `limit_bytes`.
        docker.errors.APIError: The engine refused.
    """
    place = PurePosixPath("/", source)
    inside = f"{place.as_posix().rstrip('/')}/."
    has_name = place.name not in {"", ".."}
    try:
        mode, data = _fetch(client, container, str(place) if has_name else inside, limit_bytes)
    except APIError as error:
        if _is_nothing_there(error):
            return None
        raise
    if has_name and mode & _LINK:
        has_name = False
        _, data = _fetch(client, container, inside, limit_bytes)
    is_named_folder = has_name and mode & _FOLDER
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as opened:
        return _pack(_within(limit_bytes, _relative(opened, 1 if is_named_folder else 0)))


def _fetch(client: Client, container: str, path: str, limit_bytes: int) -> tuple[int, bytes]:
    """Return the mode of what lies at a path, and its archive; of one that is too large the line is cut."""
    url = f"{client.base_url}/v{client.api_version}/containers/{container}/archive"
    with client.get(url, params={"path": path}, stream=True, timeout=client.timeout) as answer:
        try:
            answer.raise_for_status()
        except requests.HTTPError as error:
            create_api_error_from_http_exception(error)  # raises
        found: dict[str, Any] = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
        return found["mode"], _bounded(answer.iter_content(_CHUNK_BYTES), limit_bytes)


def _is_nothing_there(error: APIError) -> bool:
    said = str(error.explanation)
    if isinstance(error, NotFound):
        return "No such container" not in said
    return "not a directory" in said


def _bounded(parts: Iterable[bytes], limit_bytes: int) -> bytes:
    data = bytearray()
    for part in parts:
        data += part
        if len(data) > limit_bytes:
            raise TooLargeError
    return bytes(data)


def _relative(opened: tarfile.TarFile, above: int) -> Iterator[_Entry]:
    """Yield what is wanted of an archive, each with its path without the `above` folders that all lies in."""
    for member in opened:
        name = str(PurePosixPath(*PurePosixPath(member.name).parts[above:]))
        # A second name of a file, or of a link, met before: carried as one of its own.
        origin = opened.getmember(member.linkname) if member.islnk() else member
        if name != "." and (origin.isreg() or origin.isdir() or origin.issym()):
            yield name, origin, opened.extractfile(origin) if origin.isreg() else None


def _within(limit_bytes: int, entries: Iterable[_Entry]) -> Iterator[_Entry]:
    """Count again: a file of many names came once."""
    for entry in entries:
        limit_bytes -= entry[1].size
        if limit_bytes < 0:
            raise TooLargeError
        yield entry


def _pack(entries: Iterable[_Entry]) -> bytes:
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as packed:
            for name, origin, content in entries:
                member = copy.copy(origin)
                member.name, member.uid, member.gid, member.uname, member.gname = name, 0, 0, "", ""
                member.pax_headers = {}
                packed.addfile(member, content)
        return buffer.getvalue()
