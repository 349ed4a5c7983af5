"""The PreToolUse hook refuses edits of what says how good a harness is, and says what to do instead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.hooks import ask, denial
from support.workspaces import ROOT, copy_shipped

from autoagent_mcp.harness.adapter import BOUNDARY

SHIPPED = (ROOT / "agent.py").read_text(encoding="utf-8")
EDITABLE = SHIPPED[: SHIPPED.index(BOUNDARY)]
FIXED = SHIPPED.removeprefix(EDITABLE)
PROMPT = 'SYSTEM_PROMPT = "You complete tasks on a Linux machine by running bash commands."'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the shipped workspace with one task, and a folder of hidden ones."""
    workspace = tmp_path / "workspace"
    copy_shipped(workspace, ("count-words",))
    (workspace / ".autoagent").mkdir()
    settings = workspace / "autoagent.toml"
    settings.write_text(
        settings.read_text(encoding="utf-8") + '\n[split]\nhidden_dir = "../hidden"\n', encoding="utf-8"
    )
    return workspace


def call(folder: Path, tool: str, **given: object) -> str:
    return denial(ask("guard", {"tool_name": tool, "tool_input": given, "cwd": str(folder)}))


def write(folder: Path, path: str | Path) -> str:
    return call(folder, "Write", file_path=str(path), content="x")


def patch(folder: Path, *lines: str) -> str:
    return call(folder, "apply_patch", command="\n".join(["*** Begin Patch", *lines, "*** End Patch"]))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("tasks/count-words/tests/test.sh", "stay as they are"),
        ("tasks/count-words/solution/solve.sh", "stay as they are"),
        ("tasks/a-new-one/task.toml", "stay as they are"),
        ("../hidden/one/tests/test.sh", "stay as they are"),
        (".autoagent/ledger.sqlite3", "read_ledger"),
        ("results.tsv", "keep_change"),
        ("autoagent.toml", "person"),
        (".git/refs/autoagent/ledger", "keep_change commits"),
    ],
)
def test_what_is_not_the_clients_is_refused(folder: Path, path: str, says: str) -> None:
    assert says in write(folder, path)
    assert says in write(folder, folder / path)
    assert says in patch(folder, f"*** Add File: {path}", "+x")
    assert says in call(folder, "NotebookEdit", notebook_path=path, new_source="x")


@pytest.mark.parametrize(
    "path", ["agent.md", ".agent/prompt.md", "program.md", "notes/tasks/x", "../elsewhere", "task.py"]
)
def test_everything_else_is_the_clients(folder: Path, path: str) -> None:
    assert write(folder, path) == ""


def test_no_way_of_writing_a_path_goes_around_it(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(folder / "tasks" / "count-words")
    (tmp_path / "elsewhere").symlink_to(folder)
    for path in ("notes/../tasks/x", "./tasks//x", "TASKS/x", "link/tests/test.sh", tmp_path / "elsewhere/Results.TSV"):
        assert write(folder, path), path
    assert denial(
        ask("guard", {"tool_name": "Write", "tool_input": {"file_path": str(folder / "tasks/x")}, "cwd": os.sep})
    )


def test_a_link_in_the_place_of_the_tasks_is_the_tasks(folder: Path, tmp_path: Path) -> None:
    (folder / "tasks").rename(tmp_path / "away")
    (folder / "tasks").symlink_to(tmp_path / "away")
    assert write(folder, "tasks/x")
    assert write(folder, tmp_path / "away" / "x")


def test_the_settings_say_where_the_tasks_are(folder: Path) -> None:
    (folder / "autoagent.toml").write_text('tasks_dir = "cases"\n', encoding="utf-8")
    assert write(folder, "cases/one/task.toml")
    assert write(folder, "tasks/one/task.toml") == ""


def test_outside_a_workspace_everything_is_allowed(tmp_path: Path) -> None:
    assert write(tmp_path, "tasks/one/tests/test.sh") == ""
    assert call(tmp_path, "Bash", command="rm -rf tasks") == ""


def test_writing_agent_py_whole_must_leave_the_fixed_section(folder: Path) -> None:
    def whole(content: str) -> str:
        return call(folder, "Write", file_path=str(folder / "agent.py"), content=content)

    assert whole(EDITABLE.replace("bash", "sh") + FIXED) == ""
    for content in ("", EDITABLE, EDITABLE + FIXED.replace("autoagent", "cheat"), EDITABLE + FIXED + "\nX = 1\n"):
        assert "edit only what is above the line" in whole(content)


def test_an_edit_is_judged_by_what_it_would_change(folder: Path) -> None:
    def edit(old: str, new: str, **more: object) -> str:
        return call(folder, "Edit", file_path="agent.py", old_string=old, new_string=new, **more)

    assert edit(PROMPT, 'SYSTEM_PROMPT = "Work."') == ""
    assert edit("in no file", "anything") == ""
    assert edit('return "autoagent"', 'return "cheat"')
    assert edit(BOUNDARY, "# gone")
    assert edit("MODEL", f"{BOUNDARY}\nMODEL")
    assert "environment.exec" in EDITABLE
    assert edit("environment.exec", "environment.run") == ""
    assert edit("environment.exec", "environment.run", replace_all=True)
    steps = [{"old_string": PROMPT, "new_string": "A = 1"}, {"old_string": "A = 1", "new_string": BOUNDARY}]
    assert call(folder, "MultiEdit", file_path="agent.py", edits=steps[:1]) == ""
    assert call(folder, "MultiEdit", file_path="agent.py", edits=steps)


def test_a_patch_is_judged_by_what_it_would_change(folder: Path) -> None:
    update = "*** Update File: agent.py"
    assert (
        patch(folder, update, "@@", f"-{PROMPT}", '+SYSTEM_PROMPT = "Work."', ' MODEL = "smollm2-135m-instruct"') == ""
    )
    assert patch(folder, update, "@@ class AutoAgent(BaseAgent):", "-    def name() -> str:", "+    def name(): return")
    assert patch(folder, update, f" {BOUNDARY}", "+import os")
    assert patch(folder, update, "@@", "+X = 1"), "what has no context goes to the end"
    assert patch(folder, update, "@@", "-   in no file", "+X = 1") == ""
    assert patch(folder, "*** Delete File: agent.py")
    (folder / "loop").symlink_to("loop")
    for nowhere in ("loop/x", "a\0b"):
        assert patch(
            folder, f"*** Add File: {nowhere}", "+x", "*** Update File: tasks/count-words/task.toml", "-a", "+b"
        )
    assert patch(folder, update, f"-{PROMPT}", "+P = 1", "*** Update File: tasks/count-words/task.toml", "-a", "+b")


def test_a_fixed_section_that_was_broken_may_be_put_back(folder: Path) -> None:
    (folder / "agent.py").write_text(EDITABLE + FIXED.replace("autoagent", "cheat"), encoding="utf-8")
    assert call(folder, "Edit", file_path="agent.py", old_string="cheat", new_string="other")
    assert call(folder, "Edit", file_path="agent.py", old_string=PROMPT, new_string="P = 1") == ""
    assert (
        call(folder, "Edit", file_path="agent.py", old_string="cheat", new_string="autoagent", replace_all=True) == ""
    )


@pytest.mark.parametrize(
    "command",
    [
        "echo 1 > tasks/count-words/tests/test.sh",
        "cd tasks && rm -rf count-words",
        "true; cat x | tee -a results.tsv",
        "sed -i s/a/b/ autoagent.toml",
        "cp better.sh tasks/count-words/solution/solve.sh",
        "rm -rf ../workspace",
        "mv .autoagent /tmp/away",
        "uv run autoagent-mcp accept-changes --yes",
        "python -m autoagent_mcp stop --undo",
        "autoagent-mcp promote --branch winner --anyway",
        "cd .. && autoagent-mcp --workspace workspace review > said.txt",
        "cat <<<EOF\nrm -rf tasks\nEOF",
        f"{20_000 * 'cat <<A; '}\nrm -rf tasks",  # a second, where each would be followed to the end
    ],
)
def test_a_shell_command_that_plainly_writes_there_is_refused(folder: Path, command: str) -> None:
    assert call(folder, "Bash", command=command)


@pytest.mark.parametrize(
    "command",
    [
        "cat tasks/count-words/instruction.md > notes.txt",
        "cp -r tasks /tmp/copy",
        "cat > agent.py <<'EOF'\nif a > tasks:\n    rm tasks\nEOF",
        "cat <<A <<'B'\nrm -rf tasks\nA\nrm -rf tasks\nB",
        "python -c 'print(1 > 0)' > /dev/null",
        "echo 'an open quotation",
        "autoagent-mcp stop",
        "sed -n 1,20p autoagent.toml",
        "rm notes.txt",
    ],
)
def test_a_shell_command_that_does_not_is_allowed(folder: Path, command: str) -> None:
    assert call(folder, "Bash", command=command) == ""


@pytest.mark.parametrize("given", ["", "[]", '{"tool_name": "Write"}', '{"tool_name": "Write", "tool_input": []}'])
def test_input_that_is_none_is_allowed(given: str, folder: Path) -> None:
    assert denial(ask("guard", given, cwd=folder)) == ""
