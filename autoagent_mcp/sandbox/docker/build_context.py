"""What a Dockerfile is built from: a folder without what its .dockerignore names, told apart by content.

Format of .dockerignore: https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from docker.utils.build import PatternMatcher

_DOCKERFILE = "Dockerfile"
_IGNORE_FILES = ("Dockerfile.dockerignore", ".dockerignore")
"""The first that exists counts, as with `docker build`."""
_MTIME = 946_684_800
"""2000-01-01: the same everywhere, and late enough for zip files and wheels, which know nothing before 1980."""
_CHUNK_BYTES = 1024 * 1024


class BuildContext:
    """Files for a build; the same content gives the same digest and the same archive on every machine.

    Of a file's mode only the owner's execute bit counts, as in git. Links are kept as links; devices and pipes are left
    out.

    Args:
        files: By their path in the context: a file, folder or link of this machine, or a file's content.
    """

    def __init__(self, files: Mapping[str, Path | bytes]) -> None:
        self._files = dict(sorted(files.items()))

    @classmethod
    def of_folder(cls, folder: Path) -> BuildContext:
        """Find a folder's files; blocks.

        Raises:
            OSError: It cannot be read.
        """
        ignored = PatternMatcher(_patterns(folder))
        ignored.patterns.pop()  # its own "!.dockerignore": the classic builder's rule, which BuildKit does not have
        return cls({name: folder / name for name in {*ignored.walk(folder), _DOCKERFILE}})

    def digest(self) -> str:
        """Return the SHA-256 over paths, kinds, execute bits, link targets and bytes, as 64 hex digits; blocks.

        Raises:
            OSError: A file cannot be read.
        """
        total = hashlib.sha256()
        for name, source in self._files.items():
            member = _member(name, source)
            if member is None:
                continue
            facts = (name, member.type.decode(), f"{member.mode:o}", member.linkname, _content_digest(member, source))
            total.update(b"".join(len(fact.encode()).to_bytes(8, "big") + fact.encode() for fact in facts))
        return total.hexdigest()

    def write(self, target: IO[bytes]) -> None:
        """Write the files as a tar archive; blocks.

        Raises:
            OSError: A file cannot be read, or the disk is full.
        """
        with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for name, source in self._files.items():
                member = _member(name, source)
                if member is None:
                    continue
                if member.isreg():
                    with _opened(source) as content:
                        archive.addfile(member, content)
                else:
                    archive.addfile(member)


def _patterns(folder: Path) -> list[str]:
    for name in _IGNORE_FILES:
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
            return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return []


def _member(name: str, source: Path | bytes) -> tarfile.TarInfo | None:
    member = tarfile.TarInfo(name)
    member.mtime, member.mode = _MTIME, 0o644
    if isinstance(source, bytes):
        member.size = len(source)
    elif source.is_symlink():
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, str(source.readlink()), 0o777
    elif source.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, 0o755
    elif source.is_file():
        facts = source.stat()
        member.size = facts.st_size
        member.mode = 0o755 if facts.st_mode & 0o100 else 0o644
    else:
        return None
    return member


def _content_digest(member: tarfile.TarInfo, source: Path | bytes) -> str:
    found = hashlib.sha256()
    if member.isreg():
        with _opened(source) as content:
            while chunk := content.read(_CHUNK_BYTES):
                found.update(chunk)
    return found.hexdigest()


def _opened(source: Path | bytes) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
