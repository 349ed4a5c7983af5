"""`autoagent-mcp tasks check`: what it says of tasks that others made."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.suites import make_task
from support.workspaces import ANSWER_TASK, ROOT, write_tree

GIVEN_AWAY = "#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n"
STEPS = '[[steps]]\nname = "a"\n[[steps]]\nname = "b"\n'
WRITES = "#!/bin/bash\necho {0} > {0}.txt\n"
LOOKS = "#!/bin/bash\n[ -e {0}.txt ] && r=1 || r=0\necho $r > /logs/verifier/reward.txt\n"
IN_STEPS = {
    "task.toml": STEPS,
    "environment/Dockerfile": ANSWER_TASK["environment/Dockerfile"],
    **{f"steps/{one}/instruction.md": f"Write {one}.txt." for one in "ab"},
    **{f"steps/{one}/solution/solve.sh": WRITES.format(one) for one in "ab"},
    **{f"steps/{one}/tests/test.sh": LOOKS.format(one) for one in "ab"},
}
APART = {
    **ANSWER_TASK,
    "task.toml": 'artifacts = ["/app/answer.txt"]\n[verifier]\nenvironment_mode = "separate"\n',
    "tests/test.sh": ANSWER_TASK["tests/test.sh"].replace("cat answer", "cat /app/answer"),
}


def check(folder: Path, *words: str, backend: str = "bubblewrap") -> subprocess.CompletedProcess[str]:
    settings = folder / "autoagent.toml"
    if not settings.exists():
        settings.write_text(f'[run]\nbackend = "{backend}"\n', encoding="utf-8")
    command = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(folder), "tasks", "check", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {row["task"]: row for row in json.loads(done.stdout)}


def write_tasks(folder: Path, tasks: Mapping[str, Mapping[str, str]]) -> None:
    for name, files in tasks.items():
        write_tree(folder / name, files)


def without(*names: str) -> dict[str, str]:
    return {path: text for path, text in ANSWER_TASK.items() if path not in names}


def test_the_shipped_tasks_are_all_sound(tmp_path: Path) -> None:
    (tmp_path / "autoagent.toml").write_text(
        f'tasks_dir = "{ROOT / "tasks"}"\n[run]\nbackend = "bubblewrap"\n', encoding="utf-8"
    )
    done = check(tmp_path)
    count = len(list((ROOT / "tasks").iterdir()))
    assert count >= 36
    assert (
        f"{count} of {count} tasks that can run here are sound; 0 cannot run here. Backend: bubblewrap." in done.stdout
    )
    assert done.returncode == 0


def test_it_names_what_is_odd_about_each_and_fails_where_one_is_broken(tmp_path: Path) -> None:
    odd = {
        "fine": ANSWER_TASK,
        "given-away": {**ANSWER_TASK, "tests/test.sh": GIVEN_AWAY},
        "misspelt": {**ANSWER_TASK, "task.toml": "[enviroment]\nmemory_mb = 512\n"},
        "no-solution": without("solution/solve.sh"),
        "runs-make": {**ANSWER_TASK, "environment/Dockerfile": "FROM x\nRUN make [all]\n"},
    }
    write_tasks(tmp_path / "tasks", odd)
    done = check(tmp_path)
    said = " ".join(done.stdout.split())
    assert "2 of 4 tasks that can run here are sound; 1 cannot run here." in said
    for words in ("enviroment", "no solution", "RUN make [all]", "broken: doing nothing passes"):
        assert words in said
    assert done.returncode == 1


@pytest.mark.parametrize("backend", ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
@pytest.mark.timeout(180)
def test_tasks_of_several_steps_and_with_a_verifier_apart_are_run(tmp_path: Path, backend: str) -> None:
    write_tasks(tmp_path / "tasks", {"in-steps": IN_STEPS, "apart": APART})
    done = check(tmp_path, "--json", backend=backend)
    assert done.returncode == 0, done.stderr
    found = rows(done)
    assert {name: (row["verdict"], row["solution"], row["nothing"]) for name, row in found.items()} == {
        "apart": ("sound", "1", "0"),
        "in-steps": ("sound", "1", "0"),
    }


def test_a_step_without_a_solution_leaves_its_task_unchecked(tmp_path: Path) -> None:
    part = {path: text for path, text in IN_STEPS.items() if path != "steps/b/solution/solve.sh"}
    write_tasks(tmp_path / "tasks", {"in-steps": part})
    done = check(tmp_path, "--json")
    assert rows(done)["in-steps"]["verdict"] == "unchecked"
    assert done.returncode == 0


def test_a_task_is_broken_where_its_solution_fails_or_its_verifier_says_nothing(tmp_path: Path) -> None:
    write_tasks(
        tmp_path / "tasks",
        {
            "wrong": {**ANSWER_TASK, "solution/solve.sh": "#!/bin/bash\necho 41 > answer.txt\n"},
            "mute": make_task(test="exit $((RANDOM % 200))"),
            "mute-for-nop": make_task(solve="touch a", test="[ -e a ] && echo 1 > /logs/verifier/reward.txt"),
        },
    )
    done = check(tmp_path, "--json")
    found = rows(done)
    assert {row["verdict"] for row in found.values()} == {"broken"}
    assert found["wrong"]["reasons"] == ["its solution does not pass"]
    assert (found["mute"]["solution"], found["mute"]["nothing"]) == ("none (reward_missing)",) * 2
    assert len(found["mute"]["reasons"]) == 1, "one cause is told once"
    assert found["mute-for-nop"]["solution"] == "1"
    assert done.returncode == 1


def test_of_a_task_that_cannot_be_solved_no_solution_is_expected_but_that_nothing_passes(tmp_path: Path) -> None:
    toml = {"task.toml": "[metadata]\nimpossible = true\n"}
    tasks = {
        "no-solution": {**without("solution/solve.sh"), **toml},
        "vain-solution": {**ANSWER_TASK, **toml, "solution/solve.sh": "#!/bin/bash\n"},
        "solvable": {**ANSWER_TASK, **toml},
        "given-away": {**without("solution/solve.sh"), **toml, "tests/test.sh": GIVEN_AWAY},
        "unclear": {**ANSWER_TASK, "task.toml": '[metadata]\nimpossible = "true"\n'},
    }
    write_tasks(tmp_path / "tasks", tasks)
    found = rows(check(tmp_path, "--json"))
    assert {name: (row["verdict"], row["reasons"]) for name, row in found.items()} == {
        "no-solution": ("sound", []),
        "vain-solution": ("sound", []),
        "solvable": ("broken", ["its solution passes, though it is marked as impossible"]),
        "given-away": ("broken", ["doing nothing passes"]),
        "unclear": ("sound", []),
    }
    assert found["unclear"]["notices"] == [
        "task.toml: metadata.impossible is neither true nor false and has no effect."
    ]


@pytest.mark.parametrize("is_absolute", [True, False])
def test_tasks_dir_may_be_anywhere_and_a_single_task(tmp_path: Path, *, is_absolute: bool) -> None:
    write_tree(tmp_path / "elsewhere" / "answer", ANSWER_TASK)
    (tmp_path / "here").mkdir()
    place = str(tmp_path / "elsewhere" / "answer") if is_absolute else "../elsewhere/answer"
    (tmp_path / "here" / "autoagent.toml").write_text(
        f'tasks_dir = "{place}"\n[run]\nbackend = "bubblewrap"\n', encoding="utf-8"
    )
    done = check(tmp_path / "here", "--json", "answer")
    assert {name: row["verdict"] for name, row in rows(done).items()} == {"answer": "sound"}


def test_a_folder_that_is_no_task_is_named_and_breaks_nothing_but_an_unreadable_task_does(tmp_path: Path) -> None:
    write_tasks(tmp_path / "tasks", {"answer": ANSWER_TASK, "shared-data": {"words.txt": "one two"}})
    done = check(tmp_path, "--json")
    assert rows(done)["shared-data"]["verdict"] == "no task"
    assert done.returncode == 0
    write_tree(tmp_path / "tasks" / "torn", {"task.toml": "[agent\n"})
    done = check(tmp_path, "--json")
    assert rows(done)["torn"]["verdict"] == "broken"
    assert "not valid TOML" in rows(done)["torn"]["reasons"][0]
    assert done.returncode == 1


def test_what_a_backend_cannot_give_is_refused_by_name_for_that_task_alone(tmp_path: Path) -> None:
    refused = {
        "gpu": "[environment]\ngpus = 1\n",
        "windows": '[environment]\nos = "windows"\n',
        "hosts": '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["example.com"]\n',
    }
    tasks = {name: {**ANSWER_TASK, "task.toml": toml} for name, toml in refused.items()}
    tasks["windows"] = {**tasks["windows"], "tests/test.bat": "exit"}
    tasks["compose"] = {**ANSWER_TASK, "environment/docker-compose.yaml": "services: {}\n"}
    write_tasks(tmp_path / "tasks", {**tasks, "answer": ANSWER_TASK})
    done = check(tmp_path, "--json")
    found = rows(done)
    assert found["answer"]["verdict"] == "sound"
    assert {name for name, row in found.items() if row["verdict"] == "cannot run here"} == {*refused, "compose"}
    assert all(row["reasons"] for name, row in found.items() if name != "answer")
    assert not any("needs Docker" in row["reasons"][0] for row in found.values() if row["reasons"]), "it has neither"
    assert done.returncode == 0


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    write_tasks(tmp_path / "tasks", {"answer": ANSWER_TASK})
    done = check(tmp_path, "answers")
    assert done.returncode == 1
    assert "There is no task named 'answers'. The nearest are: answer." in done.stderr
