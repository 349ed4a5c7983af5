"""Tar archives: what goes into sandboxes, and what comes out of them, which is hostile."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from autoagent_mcp.errors import SandboxRefused

_HINT = "What a sandbox gives out may hold only files and folders; nothing of this archive was kept."


def pack(
    source: Path, *, under: str = "", executable: Collection[str] = (), beside: Mapping[str, bytes] | None = None
) -> bytes:
    """Return a folder's content, or one file under its name, as an archive.

    The same content gives the same bytes: sorted, root-owned, without times. Links are kept as links.

    Args:
        source: The folder or the file.
        under: The folder in the archive that it comes under; "" for the top.
        executable: Paths in the archive that get mode 755, whatever mode they have here.
        beside: Files to add, by their path in the archive.

    Raises:
        OSError: Something cannot be read.
    """
    found = sorted(source.rglob("*")) if source.is_dir() else [source]
    root = source if source.is_dir() else source.parent
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for path in found:
                name = PurePosixPath(under, path.relative_to(root).as_posix()).as_posix()
                _add(archive, path, name, is_executable=name in executable)
            for name, content in sorted((beside or {}).items()):
                _add_bytes(archive, name, content, 0o644)
        return buffer.getvalue()


def _add(archive: tarfile.TarFile, path: Path, name: str, *, is_executable: bool) -> None:
    member = archive.gettarinfo(str(path), name)
    if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
        return
    _neutral(member)
    if is_executable:
        member.mode = 0o755
    if member.islnk():  # a second name of a file met before: carried as a file of its own
        member.type, member.size, member.linkname = tarfile.REGTYPE, path.stat().st_size, ""
    if member.isfile():
        with path.open("rb") as file:
            archive.addfile(member, file)
    else:
        archive.addfile(member)


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    archive.addfile(_neutral(member), io.BytesIO(content))


def pack_files(
    files: Mapping[str, bytes], executable: Collection[str] = (), open_folders: Collection[str] = ()
) -> bytes:
    """Return files by their path in the archive, those in `executable` with mode 755, as an archive.

    `open_folders` are empty folders with mode 777: Harbor's /logs, where the agent may be another user than the tests.
    """
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for name in sorted(open_folders):
                member = tarfile.TarInfo(name)
                member.type, member.mode = tarfile.DIRTYPE, 0o777
                archive.addfile(_neutral(member))
            for name, content in sorted(files.items()):
                _add_bytes(archive, name, content, 0o755 if name in executable else 0o644)
        return buffer.getvalue()


def _neutral(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def unpack(archive: bytes, target: Path, *, limit_bytes: int, limit_files: int) -> None:
    """Unpack what came out of a sandbox below `target`, which is made where it is missing.

    The whole archive is checked before anything is written. Files get mode 644, or 755 where the owner may execute
    them; folders get 755.

    Raises:
        SandboxRefused: It holds a link, a device or a pipe, a path that leads out, the same path twice, more than
            `limit_files` entries or more than `limit_bytes`; or it is no archive.
        OSError: The disk is full.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
            members = _checked(opened, limit_bytes, limit_files)
            target.mkdir(parents=True, exist_ok=True)
            for path, member in members.items():
                _write(opened, member, target / path)
    except (tarfile.TarError, ValueError, RecursionError, OverflowError) as error:
        raise SandboxRefused(f"What came out of the sandbox is no tar archive: {error}.", _HINT) from error


def _checked(opened: tarfile.TarFile, limit_bytes: int, limit_files: int) -> dict[PurePosixPath, tarfile.TarInfo]:
    members: dict[PurePosixPath, tarfile.TarInfo] = {}
    left = limit_bytes
    for member in opened:
        path = PurePosixPath(member.name)
        left -= max(member.size, 0)
        if complaint := _complaint(member, path):
            raise SandboxRefused(f"An archive from the sandbox holds {member.name[:200]!r}: {complaint}.", _HINT)
        if left < 0:
            raise SandboxRefused(f"An archive from the sandbox holds more than {limit_bytes} bytes.", _HINT)
        if len(members) >= limit_files:
            raise SandboxRefused(f"An archive from the sandbox holds more than {limit_files} entries.", _HINT)
        if path in members or any(parent in members and members[parent].isfile() for parent in path.parents):
            raise SandboxRefused(f"An archive from the sandbox holds {member.name[:200]!r} twice.", _HINT)
        members[path] = member
    return members


def _complaint(member: tarfile.TarInfo, path: PurePosixPath) -> str | None:
    if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE} or member.sparse is not None:
        return "neither a file nor a folder"
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        return "a path that leads out"
    if member.size < 0:
        return "a negative size"
    return None


def _write(opened: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = opened.extractfile(member)
    if content is not None:
        with content, path.open("wb") as file:
            shutil.copyfileobj(content, file)
        path.chmod(0o755 if member.mode & 0o100 else 0o644)
