"""Tar archives in and out, read and written by ourselves.

The `tar` in here may have been replaced by whoever worked in the sandbox, and the stdlib's `tarfile` costs as much to
import as the rest of process 1. Format: POSIX.1-1988 ustar with GNU's long names (`L`, `K`) and, when reading, the
`path` and `linkpath` of pax (https://www.gnu.org/software/tar/manual/html_node/Standard.html).
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int], bytes]
    Write = Callable[[bytes], None]

_BLOCK = 512
_NAME_SIZE = 100
_CHUNK_BYTES = 65536
_NAME_LIMIT = 1 << 16


class Member:
    """One entry's header."""

    __slots__ = ("kind", "link", "mode", "name", "size")

    def __init__(self, name: str, kind: bytes, mode: int, size: int = 0, link: str = "") -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.size = size
        self.link = link


def extract(read: Read, target: str) -> None:
    """Unpack below `target`; whoever runs this owns what comes out.

    Args:
        read: Returns exactly as many bytes as asked for, or raises EOFError.
        target: A folder; made where it is missing.
    """
    os.makedirs(target, mode=0o755, exist_ok=True)
    for member in _members(read):
        path = os.path.join(target, member.name.lstrip("/"))
        if member.kind == b"5":
            os.makedirs(path, exist_ok=True)
            os.chmod(path, member.mode)
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path) and not os.path.isdir(path):
            os.unlink(path)
        if member.kind == b"2":
            os.symlink(member.link, path)
        elif member.kind == b"1":
            os.link(os.path.join(target, member.link.lstrip("/")), path)
        else:
            _write_file(read, path, member)


def _write_file(read: Read, path: str, member: Member) -> None:
    with open(path, "wb", buffering=0) as file:
        left = member.size
        while left > 0:
            data = read(min(left, _CHUNK_BYTES))
            _write_all(file.fileno(), data)
            left -= len(data)
        os.fchmod(file.fileno(), member.mode)
    read(-member.size % _BLOCK)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _members(read: Read) -> Iterator[Member]:
    long: dict[str, str] = {}
    while True:
        header = read(_BLOCK)
        if header == bytes(_BLOCK):
            return
        member = _parse(header)
        if member.kind in b"LKxg":
            data = read(min(member.size, _NAME_LIMIT))
            read(-member.size % _BLOCK)
            long |= _long_names(member.kind, data)
            continue
        member.name = long.get("path", member.name)
        member.link = long.get("linkpath", member.link)
        yield member
        long = {}


def _parse(header: bytes) -> Member:
    name, prefix = _text(header[0:100]), _text(header[345:500])
    if header[257:263] == b"ustar\0" and prefix:
        name = f"{prefix}/{name}"
    kind = header[156:157]
    size = int(_text(header[124:136]).strip() or "0", 8)
    return Member(
        name=name,
        kind=kind,
        mode=int(_text(header[100:108]).strip() or "0", 8) & 0o7777,
        size=0 if kind in b"125" else size,
        link=_text(header[157:257]),
    )


def _long_names(kind: bytes, data: bytes) -> dict[str, str]:
    if kind == b"L":
        return {"path": _text(data)}
    if kind == b"K":
        return {"linkpath": _text(data)}
    found: dict[str, str] = {}
    while kind == b"x" and data:
        length = int(data[: data.index(b" ")])
        key, _, value = data[data.index(b" ") + 1 : length - 1].partition(b"=")
        if key in {b"path", b"linkpath"}:
            found[key.decode()] = os.fsdecode(value)
        data = data[length:]
    return found


def _text(field: bytes) -> str:
    return os.fsdecode(field.split(b"\0", 1)[0])


def create(source: str, write: Write) -> None:
    """Pack a folder's content, or one file under its name; sockets, pipes and devices are left out."""
    if os.path.isdir(source):
        for name in sorted(os.listdir(source)):
            _add(os.path.join(source, name), name, write)
    else:
        _add(source, os.path.basename(source), write)
    write(bytes(2 * _BLOCK))


def _add(path: str, name: str, write: Write) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:  # gone meanwhile
        return
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        _write_header(Member(name + "/", b"5", mode), write)
        for child in sorted(os.listdir(path)):
            _add(f"{path}/{child}", f"{name}/{child}", write)
    elif stat.S_ISLNK(status.st_mode):
        _write_header(Member(name, b"2", mode, link=os.readlink(path)), write)
    elif stat.S_ISREG(status.st_mode):
        _add_file(path, Member(name, b"0", mode, status.st_size), write)


def _add_file(path: str, member: Member, write: Write) -> None:
    """Write as many bytes as the header says, whatever happens to the file meanwhile."""
    with open(path, "rb", buffering=0, opener=_no_follow) as file:
        _write_header(member, write)
        left = member.size
        while left > 0 and (data := file.read(min(left, _CHUNK_BYTES))):
            write(data)
            left -= len(data)
    while left > 0:
        write(bytes(min(left, _CHUNK_BYTES)))
        left -= min(left, _CHUNK_BYTES)
    write(bytes(-member.size % _BLOCK))


def _no_follow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _write_header(member: Member, write: Write) -> None:
    name, link = os.fsencode(member.name), os.fsencode(member.link)
    for kind, text in ((b"K", link), (b"L", name)):
        if len(text) >= _NAME_SIZE:
            write(_header(b"././@LongLink", kind, 0, len(text) + 1, b""))
            write(text + bytes(_BLOCK - len(text) % _BLOCK))
    write(_header(name[:99], member.kind, member.mode, member.size, link[:99]))


def _header(name: bytes, kind: bytes, mode: int, size: int, link: bytes) -> bytes:
    fields = (
        name.ljust(100, b"\0")
        + b"%07o\0%07o\0%07o\0" % (mode, 0, 0)
        + (b"%011o\0" % size)
        + b"%011o\0" % 0
        + b" " * 8
        + kind
        + link.ljust(100, b"\0")
        + b"ustar  \0"
    ).ljust(_BLOCK, b"\0")
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]
