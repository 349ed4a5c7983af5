"""What a build is made from, and how its content is told apart."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from support.workspaces import write_tree

from autoagent_mcp.sandbox.docker.build_context import BuildContext

FILES = {"Dockerfile": "FROM x\n", "a.txt": "a", "data/b.txt": "b", "data/run.sh": "#!/bin/sh\n"}


def context(folder: Path, files: dict[str, str]) -> BuildContext:
    write_tree(folder, files)
    return BuildContext.of_folder(folder)


def packed(wanted: BuildContext) -> bytes:
    with io.BytesIO() as buffer:
        wanted.write(buffer)
        return buffer.getvalue()


def members(wanted: BuildContext) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(packed(wanted))) as archive:
        return {member.name: member for member in archive}


def test_the_same_content_is_the_same_whenever_wherever_and_by_whom_it_was_written(tmp_path: Path) -> None:
    first, second = context(tmp_path / "a", FILES), context(tmp_path / "b", dict(reversed(FILES.items())))
    for path in (tmp_path / "b").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1, 1))
    assert first.digest() == second.digest()
    assert packed(first) == packed(second)


@pytest.mark.parametrize("change", ["bytes", "path", "execute bit", "link target", "link for a file", "empty folder"])
def test_any_change_that_a_build_can_see_is_another_content(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "changed"
    write_tree(folder, FILES)
    (folder / "link").symlink_to("a.txt")
    before = BuildContext.of_folder(folder).digest()
    if change == "bytes":
        (folder / "a.txt").write_text("A", encoding="utf-8")
    elif change == "path":
        (folder / "a.txt").rename(folder / "aa.txt")
    elif change == "execute bit":
        (folder / "data" / "run.sh").chmod(0o755)
    elif change == "empty folder":
        (folder / "empty").mkdir()
    else:
        (folder / "link").unlink()
        target = "data/b.txt"
        (folder / "link").symlink_to(target) if change == "link target" else (folder / "link").write_text(
            "a.txt", encoding="utf-8"
        )
    assert BuildContext.of_folder(folder).digest() != before


def test_where_one_file_ends_and_the_next_begins_is_part_of_the_content() -> None:
    assert BuildContext({"a": b"1", "b": b"2"}).digest() != BuildContext({"a": b"", "b": b"12"}).digest()


def test_what_is_ignored_is_neither_sent_nor_part_of_the_content(tmp_path: Path) -> None:
    ignore = "# a comment\n\n*.log\ndata\n!data/b.txt\n**/secret\n/tmp\n"
    extra = {"x.log": "1", "data/c": "2", "deep/er/secret": "3", "tmp/y": "4", "deep/tmp/kept": "5"}
    before = context(tmp_path, {**FILES, "deep/tmp/kept": "5", ".dockerignore": ignore}).digest()
    (tmp_path / "deep" / "er").mkdir()
    empty = BuildContext.of_folder(tmp_path).digest()
    wanted = context(tmp_path, extra)
    assert before != empty == wanted.digest()
    files = {name for name, member in members(wanted).items() if member.isfile()}
    assert files == {".dockerignore", "Dockerfile", "a.txt", "data/b.txt", "deep/tmp/kept"}


def test_a_dockerfile_that_is_ignored_is_sent_all_the_same_and_the_list_of_what_is_ignored_is_not(
    tmp_path: Path,
) -> None:
    assert set(members(context(tmp_path, {**FILES, ".dockerignore": "*\n"}))) == {"Dockerfile"}


def test_a_dockerfiles_own_list_goes_before_the_general_one(tmp_path: Path) -> None:
    lists = {"Dockerfile.dockerignore": "a.txt\n", ".dockerignore": "data\n"}
    assert {"data", "data/b.txt"} < set(members(context(tmp_path, {**FILES, **lists}))) - {"a.txt"}
    assert "a.txt" not in members(BuildContext.of_folder(tmp_path))


def test_links_stay_links_and_pipes_stay_behind(tmp_path: Path) -> None:
    write_tree(tmp_path / "context", FILES)
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (tmp_path / "context" / "out").symlink_to("../secret")
    (tmp_path / "context" / "folder").symlink_to("data")
    os.mkfifo(tmp_path / "context" / "pipe")
    found = members(BuildContext.of_folder(tmp_path / "context"))
    assert (found["out"].issym(), found["out"].linkname) == (True, "../secret")
    assert found["folder"].issym()
    assert "folder/b.txt" not in found
    assert "pipe" not in found


def test_files_are_old_enough_for_caches_and_young_enough_for_zip(tmp_path: Path) -> None:
    times = {member.mtime for member in members(context(tmp_path, FILES)).values()}
    assert times == {946_684_800}
