"""Which tasks are hidden, and that nothing of them is left among the others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from support.workspaces import ANSWER_TASK, write_tree

from autoagent_mcp.config import Config
from autoagent_mcp.errors import ConfigError
from autoagent_mcp.task import load_hidden, load_visible

NAMES = tuple(f"task-{number:02}" for number in range(20))


def hiding(fraction: float, seed: int = 0) -> Config:
    return Config.model_validate({"split": {"hidden_fraction": fraction, "seed": seed}})


def write_tasks(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        write_tree(folder / name, ANSWER_TASK)


def hidden(workspace: Path, config: Config) -> set[str]:
    return {task.name for task in load_hidden(workspace, config).usable}


def visible(workspace: Path, config: Config) -> set[str]:
    return {task.name for task in load_visible(workspace, config).usable}


def test_a_fraction_is_hidden_and_the_rest_is_visible(tmp_path: Path) -> None:
    write_tasks(tmp_path / "tasks", NAMES)
    found = hidden(tmp_path, hiding(0.5))
    assert 5 <= len(found) <= 15
    assert visible(tmp_path, hiding(0.5)) == set(NAMES) - found
    assert hidden(tmp_path, hiding(0.5)) == found
    assert hidden(tmp_path, hiding(0.5, seed=1)) != found


def test_without_a_split_all_is_visible(tmp_path: Path) -> None:
    write_tasks(tmp_path / "tasks", NAMES[:2])
    assert (visible(tmp_path, Config()), hidden(tmp_path, Config())) == (set(NAMES[:2]), set())


def test_a_new_task_moves_no_other_across(tmp_path: Path) -> None:
    write_tasks(tmp_path / "tasks", NAMES)
    before = hidden(tmp_path, hiding(0.4))
    write_tasks(tmp_path / "tasks", (f"new-{number}" for number in range(20)))
    after = hidden(tmp_path, hiding(0.4))
    assert after & set(NAMES) == before
    assert after - before


@pytest.mark.parametrize(("fraction", "count"), [(0.000001, 1), (0.999999, 19)])
def test_each_side_has_at_least_one(tmp_path: Path, fraction: float, count: int) -> None:
    write_tasks(tmp_path / "tasks", NAMES)
    assert len(hidden(tmp_path, hiding(fraction))) == count


def test_a_single_task_stays_visible(tmp_path: Path) -> None:
    write_tasks(tmp_path / "tasks", NAMES[:1])
    assert hidden(tmp_path, hiding(0.000001)) == set()


def test_a_broken_task_that_is_hidden_is_not_named_among_the_visible(tmp_path: Path) -> None:
    for name in NAMES:
        write_tree(tmp_path / "tasks" / name, {"task.toml": "not toml"})
    shown = {one.task for one in load_visible(tmp_path, hiding(0.5)).excluded}
    kept_back = {one.task for one in load_hidden(tmp_path, hiding(0.5)).excluded}
    assert shown
    assert kept_back == set(NAMES) - shown


@pytest.mark.parametrize("written", ["../aside", "{base}/aside", "../link"])
def test_a_folder_apart_from_the_workspace_is_taken(tmp_path: Path, written: str) -> None:
    write_tasks(tmp_path / "aside", ["secret"])
    (tmp_path / "link").symlink_to(tmp_path / "aside")
    write_tasks(tmp_path / "work" / "tasks", ["open"])
    config = Config.model_validate({"split": {"hidden_dir": written.format(base=tmp_path)}})
    assert hidden(tmp_path / "work", config) == {"secret"}
    assert visible(tmp_path / "work", config) == {"open"}


def test_the_home_folder_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_tasks(tmp_path / "home" / "aside", ["secret"])
    config = Config.model_validate({"split": {"hidden_dir": "~/aside"}})
    assert hidden(tmp_path / "work", config) == {"secret"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("../nowhere", "There is no folder"),
        ("aside", "lies inside"),
        ("../link", "lies inside"),
        ("..", "lies inside"),
        ("../shared/more", "lies inside"),
        ("../linking", "lies inside"),
        ("~nobody-of-this-name/aside", "cannot be followed"),
    ],
)
def test_a_folder_that_is_not_apart_is_refused_without_naming_a_task(tmp_path: Path, written: str, said: str) -> None:
    workspace = tmp_path / "work"
    write_tasks(workspace / "aside", ["secret"])
    write_tasks(tmp_path / "shared", ["open"])
    write_tasks(tmp_path / "shared" / "more", ["secret"])
    (tmp_path / "link").symlink_to(workspace / "aside")
    (tmp_path / "linking").mkdir()
    (tmp_path / "linking" / "secret").symlink_to(workspace / "aside" / "secret")
    config = Config.model_validate({"tasks_dir": "../shared", "split": {"hidden_dir": written}})
    with pytest.raises(ConfigError, match=said) as refusal:
        load_hidden(workspace, config)
    assert "secret" not in str(refusal.value)
