"""Tar archives: what goes into sandboxes, and what comes out of them, which is hostile."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from autoagent_mcp.errors import SandboxRefused

_HINT = "What a sandbox gives out may hold only files and folders; nothing of this archive was kept."


class Packer:
    """Puts an archive together; what is added later under the same path takes the earlier one's place when unpacked.

    The same content gives the same bytes: sorted, root-owned, without times. Links are kept as links.
    """

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._archive = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115
        self.is_empty = True

    def add_folder(self, name: str, mode: int = 0o755) -> None:
        """Add an empty folder."""
        member = tarfile.TarInfo(name)
        member.type, member.mode = tarfile.DIRTYPE, mode
        self._add(member)

    def add_file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """Add a file."""
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), mode
        self._add(member, io.BytesIO(content))

    def add_tree(
        self,
        source: Path,
        under: str,
        *,
        executable: Collection[str] = (),
        leaves_out: Callable[[Path], bool] = lambda _path: False,
    ) -> None:
        """Add a folder's content below `under`, or one file as `under`/its name.

        Args:
            source: The folder or the file.
            under: The folder in the archive that it comes under; "" for the top.
            executable: Paths in the archive that get mode 755, whatever mode they have here.
            leaves_out: Tells what is passed over; a folder that is, is passed over whole.

        Raises:
            OSError: Something cannot be read.
        """
        root = source if source.is_dir() else source.parent
        for path in _below(source, leaves_out) if source.is_dir() else [source]:
            name = PurePosixPath(under, path.relative_to(root).as_posix()).as_posix()
            self._add_path(path, name, is_executable=name in executable)

    def data(self) -> bytes:
        """End the archive and return it."""
        self._archive.close()
        return self._buffer.getvalue()

    def _add_path(self, path: Path, name: str, *, is_executable: bool) -> None:
        member = self._archive.gettarinfo(str(path), name)
        if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
            return
        if is_executable:
            member.mode = 0o755
        if member.islnk():  # a second name of a file met before: carried as a file of its own
            member.type, member.size, member.linkname = tarfile.REGTYPE, path.stat().st_size, ""
        if member.isfile():
            with path.open("rb") as file:
                self._add(member, file)
        else:
            self._add(member)

    def _add(self, member: tarfile.TarInfo, content: IO[bytes] | None = None) -> None:
        self.is_empty = False
        self._archive.addfile(_neutral(member), content)


def _below(folder: Path, leaves_out: Callable[[Path], bool]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if leaves_out(path):
            continue
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _below(path, leaves_out)


def pack(source: Path, *, under: str = "") -> bytes:
    """Return a folder's content, or one file under its name, as an archive, below the folder `under`.

    Raises:
        OSError: Something cannot be read.
    """
    packer = Packer()
    packer.add_tree(source, under)
    return packer.data()


def pack_files(files: Mapping[str, bytes], executable: Collection[str] = ()) -> bytes:
    """Return files by their path in the archive, those in `executable` with mode 755, as an archive."""
    packer = Packer()
    for name, content in sorted(files.items()):
        packer.add_file(name, content, 0o755 if name in executable else 0o644)
    return packer.data()


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
    with _opened(archive) as opened:
        _extract(opened, _checked(opened, limit_bytes, limit_files), target)


def unpack_plain(
    archive: bytes, target: Path, *, limit_bytes: int, limit_files: int, leaves_out: Callable[[str], bool]
) -> tuple[int, int]:
    """Unpack as `unpack` does, but only files and folders: links, devices and pipes are passed over, and counted.

    Args:
        archive: What came out.
        target: A folder.
        limit_bytes: See `unpack`.
        limit_files: See `unpack`.
        leaves_out: Tells of a path in the archive whether it is not wanted.

    Returns:
        How many entries were unpacked, and how many passed over that `unpack` would have refused.

    Raises:
        SandboxRefused: See `unpack`.
        OSError: The disk is full.
    """
    passed_over: list[str] = []
    with _opened(archive) as opened:
        found = _checked(opened, limit_bytes, limit_files, passed_over)
        members = {path: one for path, one in found.items() if not leaves_out(path.as_posix())}
        _extract(opened, members, target)
    return len(members), len(passed_over)


@contextmanager
def _opened(archive: bytes) -> Generator[tarfile.TarFile]:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
            yield opened
    except (tarfile.TarError, ValueError, RecursionError, OverflowError) as error:
        raise SandboxRefused(f"What came out of the sandbox is no tar archive: {error}.", _HINT) from error


def _extract(opened: tarfile.TarFile, members: Mapping[PurePosixPath, tarfile.TarInfo], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path, member in members.items():
        _write(opened, member, target / path)


def _checked(
    opened: tarfile.TarFile, limit_bytes: int, limit_files: int, passed_over: list[str] | None = None
) -> dict[PurePosixPath, tarfile.TarInfo]:
    members: dict[PurePosixPath, tarfile.TarInfo] = {}
    left = limit_bytes
    for number, member in enumerate(opened):
        path = PurePosixPath(member.name)
        left -= max(member.size, 0)
        if complaint := _complaint(member, path):
            if passed_over is not None and number < limit_files:
                passed_over.append(member.name)
                continue
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


def only_file(archive: bytes) -> str | None:
    """Return the path of the only entry of what came out of a sandbox, where that is a file.

    Raises:
        SandboxRefused: It is no archive.
    """
    with _opened(archive) as opened:
        first, second = opened.next(), opened.next()
        return first.name if first is not None and second is None and first.isreg() else None
