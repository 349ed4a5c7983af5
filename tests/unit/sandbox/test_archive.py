"""Archives that come out of sandboxes are hostile."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from autoagent_mcp.errors import SandboxRefused
from autoagent_mcp.sandbox import archive


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as opened:
            for member, content in members:
                opened.addfile(member, io.BytesIO(content))
        return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info, bytes(size)


def unpack(data: bytes, target: Path) -> None:
    archive.unpack(data, target, limit_bytes=1000, limit_files=5)


HOSTILE = {
    "a symbolic link": [member("x", tarfile.SYMTYPE, link="/etc/passwd")],
    "a hard link": [member("x", tarfile.LNKTYPE, link="/etc/passwd")],
    "a device": [member("x", tarfile.CHRTYPE)],
    "a block device": [member("x", tarfile.BLKTYPE)],
    "a pipe": [member("x", tarfile.FIFOTYPE)],
    "an absolute path": [member("/etc/x")],
    "a path that leads out": [member("../x")],
    "a path that leads out later": [member("a/../../x")],
    "the same file twice": [member("x"), member("./x")],
    "a file as a folder": [member("x"), member("x/y")],
    "too many bytes": [member("x", size=600), member("y", size=600)],
    "too many files": [member(str(number)) for number in range(6)],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_is_written(tmp_path: Path, what: str) -> None:
    good = member("good", size=10)
    with pytest.raises(SandboxRefused):
        unpack(packed(good, *HOSTILE[what]), tmp_path / "in" / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [b"-0000000512\0", b"\xff" * 12, b"99999999999\0", b"no number!!\0"])
def test_an_archive_with_an_impossible_size_is_refused(tmp_path: Path, size: bytes) -> None:
    whole = bytearray(packed(member("x", size=10)))
    whole[124:136] = size
    whole[148:156] = b" " * 8
    whole[148:156] = b"%06o\0 " % sum(whole[:512])
    with pytest.raises(SandboxRefused):
        unpack(bytes(whole), tmp_path / "out")
    assert not (tmp_path / "out" / "x").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxRefused, match="no tar archive"):
        unpack(b"no archive" * 200, tmp_path / "out")
    with pytest.raises(SandboxRefused):
        unpack(packed(member("x", size=800))[:700], tmp_path / "out")


def test_modes_from_inside_do_not_come_out(tmp_path: Path) -> None:
    setuid, _ = member("setuid")
    setuid.mode = 0o6777
    unreadable, _ = member("unreadable")
    unreadable.mode = 0
    unpack(packed((setuid, b""), (unreadable, b"")), tmp_path)
    assert (tmp_path / "setuid").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "unreadable").stat().st_mode & 0o7777 == 0o644


def test_unpacking_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "before").write_text("kept", encoding="utf-8")
    unpack(packed(member("folder", tarfile.DIRTYPE), member("folder/x", size=3)), tmp_path)
    assert (tmp_path / "before").read_text(encoding="utf-8") == "kept"
    assert (tmp_path / "folder/x").read_bytes() == bytes(3)


def test_the_same_folder_gives_the_same_archive(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        for file in ("b", "a", "deep/c") if name == "one" else ("deep/c", "a", "b"):
            (tmp_path / name / file).write_text(file, encoding="utf-8")
    assert archive.pack(tmp_path / "one") == archive.pack(tmp_path / "two")


def test_a_second_name_of_a_file_is_packed_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_text("content", encoding="utf-8")
    (tmp_path / "in/b").hardlink_to(tmp_path / "in/a")
    unpack(archive.pack(tmp_path / "in"), tmp_path / "out")
    assert (tmp_path / "out/b").read_text(encoding="utf-8") == "content"


def test_one_file_is_packed_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content", encoding="utf-8")
    unpack(archive.pack(tmp_path / "file"), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]
