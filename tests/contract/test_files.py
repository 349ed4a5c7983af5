"""Files in and out."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from autoagent_mcp.errors import SandboxError
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Backend, Limits, Sandbox, SandboxSpec

LONG = "a" * 90 + "/" + "b" * 120 + "/" + "\N{GREEK SMALL LETTER ALPHA}" * 60


async def test_what_is_put_comes_out_the_same(sandbox: Sandbox, tmp_path: Path) -> None:
    files = {
        "plain": b"text\n",
        "empty": b"",
        "deep/er/run": b"#!/bin/sh\necho ran\n",
        LONG: b"x",
        "big": b"\0\1" * 500_000,
    }
    packed = archive.pack_files(files, executable=["deep/er/run"])
    await sandbox.put(packed, "/new/folder")
    assert (await sandbox.exec("/new/folder/deep/er/run")).stdout == "ran\n"
    got = await sandbox.get("/new/folder")
    assert got is not None
    archive.unpack(got, tmp_path / "out", limit_bytes=2_000_000, limit_files=20)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files} == files
    assert (tmp_path / "out/deep/er/run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out/plain").stat().st_mode & 0o777 == 0o644


async def test_what_is_put_belongs_to_root(sandbox: Sandbox) -> None:
    await sandbox.put(archive.pack_files({"a/b": b""}), "/data")
    assert (await sandbox.exec("stat -c '%u:%g %a' /data /data/a /data/a/b")).stdout == "0:0 755\n0:0 755\n0:0 644\n"


async def test_one_file_comes_out_under_its_name(sandbox: Sandbox) -> None:
    await sandbox.exec("echo 1 > /tmp/reward.txt")
    assert _names(await sandbox.get("/tmp/reward.txt")) == ["reward.txt"]  # noqa: S108


async def test_nothing_is_none(sandbox: Sandbox) -> None:
    assert await sandbox.get("/nothing/here") is None
    assert await sandbox.get("/usr/bin/env/here") is None


async def test_an_empty_folder_is_an_empty_archive(sandbox: Sandbox) -> None:
    await sandbox.exec("mkdir /empty")
    assert _names(await sandbox.get("/empty")) == []


async def test_a_file_that_is_put_again_is_replaced_and_its_neighbours_stay(sandbox: Sandbox) -> None:
    await sandbox.put(archive.pack_files({"a": b"1", "b": b"1"}), "/data")
    await sandbox.put(archive.pack_files({"a": b"2"}), "/data")
    assert (await sandbox.exec("cat /data/a /data/b")).stdout == "21"


async def test_a_link_in_the_way_is_replaced_and_not_followed(sandbox: Sandbox) -> None:
    await sandbox.exec("mkdir /data; echo safe > /tmp/precious; ln -s /tmp/precious /data/a")
    await sandbox.put(archive.pack_files({"a": b"new"}), "/data")
    assert (await sandbox.exec("cat /tmp/precious /data/a")).stdout == "safe\nnew"


async def test_links_in_a_packed_folder_are_links_inside(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("here", encoding="utf-8")
    (tmp_path / "link").symlink_to("real")
    await sandbox.put(archive.pack(tmp_path), "/data")
    assert (await sandbox.exec("readlink /data/link; cat /data/link")).stdout == "real\nhere"


@pytest.mark.only_on("bubblewrap", "an engine limits no disk space on the usual overlay2, as under Harbor")
async def test_a_full_disk_is_told_and_the_sandbox_goes_on(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec.model_copy(update={"limits": Limits(storage_mb=16)})) as sandbox:
        with pytest.raises(SandboxError, match="No space left"):
            await sandbox.put(archive.pack_files({"big": bytes(20_000_000)}), "/data")
        assert (await sandbox.exec("rm /data/big; echo alive")).stdout == "alive\n"


async def test_an_archive_over_the_limit_is_refused_and_the_sandbox_goes_on(sandbox: Sandbox) -> None:
    await sandbox.exec("head -c 5000000 /dev/zero > /tmp/big")
    with pytest.raises(SandboxError, match="over 1000000 bytes"):
        await sandbox.get("/tmp/big", limit_bytes=1_000_000)  # noqa: S108
    assert (await sandbox.exec("echo alive")).stdout == "alive\n"


async def test_a_file_of_two_names_comes_out_as_two_files(sandbox: Sandbox, tmp_path: Path) -> None:
    await sandbox.exec("mkdir -p /twice/in; echo same > /twice/in/b; ln /twice/in/b /twice/a")
    got = await sandbox.get("/twice")
    assert got is not None
    archive.unpack(got, tmp_path / "out", limit_bytes=1_000_000, limit_files=10)
    assert (tmp_path / "out" / "a").read_text() == (tmp_path / "out" / "in" / "b").read_text() == "same\n"


async def test_a_file_of_many_names_counts_as_many(sandbox: Sandbox) -> None:
    await sandbox.exec("mkdir /many; head -c 1M /dev/zero > /many/0; for n in {1..9}; do ln /many/0 /many/$n; done")
    with pytest.raises(SandboxError, match="over 5000000 bytes"):
        await sandbox.get("/many", limit_bytes=5_000_000)


@pytest.mark.parametrize("trick", ["ln -s /etc/passwd /trap/x", "ln -s / /trap/x", "ln -s .. /trap/x"])
async def test_links_that_come_out_are_refused_when_unpacked(sandbox: Sandbox, tmp_path: Path, trick: str) -> None:
    await sandbox.exec(f"mkdir /trap; {trick}; echo late > /trap/y")
    got = await sandbox.get("/trap")
    assert got is not None
    with pytest.raises(SandboxError, match="neither a file nor a folder"):
        archive.unpack(got, tmp_path / "out", limit_bytes=1_000_000, limit_files=10)
    assert not (tmp_path / "out").exists()


async def test_pipes_and_sockets_do_not_hold_up_what_comes_out(sandbox: Sandbox) -> None:
    await sandbox.exec("mkdir /odd; mkfifo /odd/pipe; echo here > /odd/file")
    await sandbox.exec("python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('/odd/socket')\"")
    assert _names(await sandbox.get("/odd")) == ["file"]


async def test_a_file_that_grows_meanwhile_comes_out_in_order(sandbox: Sandbox, tmp_path: Path) -> None:
    await sandbox.exec("mkdir /busy; (while :; do echo more >> /busy/a; : > /busy/b; done) > /dev/null 2>&1 & true")
    for _ in range(5):
        got = await sandbox.get("/busy")
        assert got is not None
        archive.unpack(got, tmp_path / "out", limit_bytes=100_000_000, limit_files=10)


async def test_programs_replaced_inside_do_not_serve_files(sandbox: Sandbox) -> None:
    fake = "#!/bin/sh\necho forged\n"
    await sandbox.put(
        archive.pack_files({"tar": fake.encode(), "python3": fake.encode()}, executable=["tar", "python3"]), "/usr/bin"
    )
    assert (await sandbox.exec("tar")).stdout == "forged\n"
    await sandbox.put(archive.pack_files({"a": b"true"}), "/data")
    got = await sandbox.get("/data")
    assert got is not None
    assert b"true" in got


def _names(packed: bytes | None) -> list[str]:
    assert packed is not None
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as opened:
        return opened.getnames()
