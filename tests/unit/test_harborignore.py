"""What a .harborignore leaves out, in real trials where it matters and else by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.workspaces import ANSWER_TASK, write_tree

from autoagent_mcp import task
from autoagent_mcp.errors import TaskError
from autoagent_mcp.task import is_ignored


@pytest.mark.parametrize(
    ("place", "rules", "out", "kept"),
    [
        ("tests", "*.log\n!keep.log\n", ["a.log", "deep/b.log"], ["keep.log", "deep/keep.log", "a.txt"]),
        ("tests", "/only-here\n", ["only-here"], ["deep/only-here"]),
        ("tests", "cache/\n", ["cache", "cache/x", "deep/cache/y"], ["deep/x"]),
        ("solution", "# nothing\n\n", [], ["a.log"]),
        ("steps/one/tests", "data\n", ["data"], ["other"]),
    ],
)
def test_patterns_are_those_of_gitignore(
    tmp_path: Path, place: str, rules: str, out: list[str], kept: list[str]
) -> None:
    folder = tmp_path / place
    write_tree(folder, {".harborignore": rules, **dict.fromkeys(kept, "")})
    for path in out:
        if not (folder / path).exists():
            (folder / path).mkdir(parents=True)
    assert [path for path in (*out, *kept) if is_ignored(tmp_path, folder / path)] == out
    assert is_ignored(tmp_path, folder / ".harborignore")


def test_a_file_further_down_has_the_last_word_but_not_below_a_folder_that_is_out(tmp_path: Path) -> None:
    files = {".harborignore": "*.log\nout/\n", "deep/.harborignore": "!*.log\n", "out/.harborignore": "!*\n"}
    write_tree(tmp_path / "tests", {**files, "deep/a.log": "", "a.log": "", "out/b": ""})
    found = [is_ignored(tmp_path, tmp_path / "tests" / path) for path in ("deep/a.log", "a.log", "out/b")]
    assert found == [False, True, True]


def test_a_file_elsewhere_says_nothing_of_the_tests_and_nothing_else_is_left_out(tmp_path: Path) -> None:
    write_tree(
        tmp_path, {".harborignore": "*\n", "environment/.harborignore": "*\n", "tests/a": "", "environment/b": ""}
    )
    assert not is_ignored(tmp_path, tmp_path / "tests/a")
    assert not is_ignored(tmp_path, tmp_path / "environment/b")


def test_a_link_is_out_where_its_target_is(tmp_path: Path) -> None:
    write_tree(tmp_path / "tests", {".harborignore": "secret\n", "secret": ""})
    (tmp_path / "tests/link").symlink_to("secret")
    assert is_ignored(tmp_path, tmp_path / "tests/link")


def test_a_task_whose_test_script_is_left_out_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path / "one", {**ANSWER_TASK, "tests/.harborignore": "*.sh\n"})
    with pytest.raises(TaskError, match=r"needs tests/test.sh, which a .harborignore leaves out"):
        task.load(tmp_path / "one")
