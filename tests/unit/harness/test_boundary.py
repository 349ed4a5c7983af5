"""Which candidates are refused, and which are the same."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import pytest

from autoagent_mcp.errors import HarnessError
from autoagent_mcp.harness import adapter, boundary

MODEL = "tiny-1"
EDITABLE = f'''"""Doc."""
from __future__ import annotations
{boundary.EDITABLE_MARKER}
import os

SYSTEM_PROMPT = "Work."
MODEL = "{MODEL}"
MAX_TURNS = 5


def create_tools(environment):
    return []


def create_agent(environment):
    return create_tools(environment)


async def run_task(environment, instruction):
    """Do it."""
    # carefully
    return "done"


'''


def agent(editable: str = EDITABLE, fixed: str | None = None) -> dict[str, bytes]:
    return {"agent.py": (editable + (adapter.fixed_part() if fixed is None else fixed)).encode()}


def complaint(files: dict[str, bytes]) -> str:
    with pytest.raises(HarnessError) as caught:
        boundary.check(files, model=MODEL)
    return str(caught.value)


def line_of(editable: str, part: str) -> int:
    return next(number for number, line in enumerate(editable.splitlines(), 1) if part in line)


def test_an_untouched_harness_passes() -> None:
    boundary.check(agent(), model=MODEL)


def test_the_harness_of_this_repository_passes() -> None:
    content = (Path(__file__).parents[3] / "agent.py").read_bytes()
    boundary.check({"agent.py": content}, model="smollm2-135m-instruct")


def test_files_below_dot_agent_may_be_anything() -> None:
    boundary.check(agent() | {".agent/prompt.md": b"\xff", ".agent/helper.py": b"def ("}, model=MODEL)


@pytest.mark.parametrize("path", ["other.py", ".agent/../x", "/etc/passwd", "tasks/a/task.toml", "sub/agent.py"])
def test_a_file_elsewhere_is_refused_by_name(path: str) -> None:
    assert repr(path) in complaint(agent() | {path: b""})


def test_a_missing_agent_is_named() -> None:
    assert "no agent.py" in complaint({".agent/prompt.md": b""})


def test_too_much_is_refused() -> None:
    assert "5000001" in complaint(agent("") | {".agent/blob": bytes(5_000_001 - len(agent("")["agent.py"]))})


def test_a_syntax_error_is_told_with_its_line() -> None:
    editable = EDITABLE.replace("return []", "return [")
    assert f"line {line_of(editable, 'return [')}" in complaint(agent(editable))


def test_text_that_is_no_utf_8_is_refused() -> None:
    assert "UTF-8" in complaint({"agent.py": b"# \xff\n" + agent()["agent.py"]})


@pytest.mark.parametrize("marker", [boundary.EDITABLE_MARKER, adapter.BOUNDARY])
def test_a_marker_must_be_there_once(marker: str) -> None:
    text = agent()["agent.py"].decode()
    assert "nowhere. Put it back" in complaint({"agent.py": text.replace(marker, "#").encode()})
    twice = complaint({"agent.py": (marker + "\n" + text).encode()})
    assert "on lines" in twice
    assert "take it out elsewhere" in twice


def test_the_editable_section_comes_first() -> None:
    assert "above its editable section" in complaint(
        {"agent.py": f"{adapter.BOUNDARY}\n{boundary.EDITABLE_MARKER}\n".encode()}
    )


@pytest.mark.parametrize(
    "changed",
    [
        adapter.fixed_part().replace('return "autoagent"', 'return "winner"'),
        adapter.fixed_part() + "\nMODEL = 'better'\n",
        adapter.fixed_part()[:1000],
    ],
    ids=["changed", "added", "cut"],
)
def test_a_change_below_the_boundary_is_told_with_its_first_line(changed: str) -> None:
    fixed = adapter.fixed_part()
    pairs = zip_longest(changed.splitlines(), fixed.splitlines())
    first = next(number for number, (one, other) in enumerate(pairs) if one != other)
    line = len(EDITABLE.splitlines()) + 1 + first
    try:
        compile(EDITABLE + changed, "agent.py", "exec")
    except SyntaxError:
        assert "syntax error" in complaint(agent(fixed=changed))
    else:
        assert f"line {line} lies below the fixed boundary" in complaint(agent(fixed=changed))


@pytest.mark.parametrize("name", ["run_task", "MODEL"])
def test_what_the_adapter_needs_must_be_there(name: str) -> None:
    assert name in complaint(agent(EDITABLE.replace(name, "other")))


def test_run_task_must_be_async() -> None:
    assert "async def run_task" in complaint(agent(EDITABLE.replace("async def run_task", "def run_task")))


@pytest.mark.parametrize("value", ['"gpt-9"', 'os.environ.get("X", "tiny-1")', '"tiny" + "-1"', 'f"tiny-1"', "None"])
def test_another_model_is_refused(value: str) -> None:
    editable = EDITABLE.replace(f'MODEL = "{MODEL}"', f"MODEL = {value}")
    assert f"line {line_of(editable, 'MODEL =')}" in complaint(agent(editable))


@pytest.mark.parametrize(
    "line",
    [
        'MODEL = "tiny-1"',
        'MODEL += "x"',
        'if (MODEL := "x"): pass',
        "for MODEL in (): pass",
        "import os as MODEL",
        "del MODEL",
        "def change():\n    global MODEL\n    MODEL = 'x'",
        "def change():\n    globals()['MODEL'] = 'x'",
        "setattr(os, 'MODEL', 'x')",
        "def change(MODEL='x'): pass",
        "class MODEL: pass",
    ],
)
def test_a_model_set_again_is_refused(line: str) -> None:
    assert "sets MODEL" in complaint(agent(EDITABLE + line + "\n\n"))


@pytest.mark.parametrize(
    "line",
    [
        "class AutoAgent: pass",
        "AutoAgent = None",
        "def _HarborEnvironment(environment): pass",
        "from x import AutoAgent",
        "def later():\n    global AutoAgent\n    AutoAgent = None",
        "def later():\n    AutoAgent.run = None",
        "def later():\n    setattr(AutoAgent, 'run', None)",
        "getattr = None",
        "def getattr(*_): pass",
        "try:\n    import x\nexcept ImportError:\n    AutoAgent = None",
        f"page = '{500 * chr(0x2028)}'\nAutoAgent = None",
        f"{500 * chr(12)}AutoAgent = None",
    ],
)
def test_names_of_the_fixed_part_may_not_be_changed(line: str) -> None:
    assert "belongs to the fixed part" in complaint(agent(EDITABLE + line + "\n\n"))


@pytest.mark.parametrize(
    "line",
    [
        "class Tool:\n    name = 'AutoAgent'\n    def run(self, getattr): self.x = getattr",
        "names = [str(x) for x in range(3)]",
        "from pathlib import Path",
        "def helper(model=MODEL):\n    return {'MODEL': model}['MODEL']",
    ],
)
def test_ordinary_code_is_not_mistaken_for_a_change(line: str) -> None:
    boundary.check(agent(EDITABLE + line + "\n\n"), model=MODEL)


def test_comments_and_layout_do_not_change_the_identity() -> None:
    same = EDITABLE.replace("# carefully", "").replace('"Work."', "'Work.'")
    assert same != EDITABLE
    assert boundary.identity(agent(same)) == boundary.identity(agent())


def test_a_docstring_may_be_a_tools_description_and_changes_the_identity_but_not_the_complexity() -> None:
    other = EDITABLE.replace('"""Do it."""', '"""Do it\n    well."""')
    assert boundary.identity(agent(other)) != boundary.identity(agent())
    assert boundary.complexity(agent(other)) == boundary.complexity(agent())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Work.", "Work hard."),
        ("MAX_TURNS = 5", "MAX_TURNS = 6"),
        ('return "done"', "return create_tools(environment)"),
        ("environment, instruction", "environment, text"),
        ('return "done"', 'global seen; return "done"'),
    ],
)
def test_what_changes_the_code_changes_the_identity(before: str, after: str) -> None:
    assert boundary.identity(agent(EDITABLE.replace(before, after))) != boundary.identity(agent())


def test_other_files_count_by_name_and_content() -> None:
    one = boundary.identity(agent() | {".agent/a.md": b"x"})
    assert len({one, boundary.identity(agent()), boundary.identity(agent() | {".agent/b.md": b"x"})}) == 3
    assert one != boundary.identity(agent() | {".agent/a.md": b"y"})


def test_a_file_cannot_pass_for_two() -> None:
    assert boundary.identity({"a.md": b"x", "b.md": b"y"}) != boundary.identity({"a.md": b"x\0b.md\0y"})


def test_more_code_is_more_complex_and_more_text_is_not() -> None:
    more_text = EDITABLE.replace("Work.", "Work hard. " * 50)
    more_code = EDITABLE.replace('return "done"', 'return "done" if instruction else "nothing"')
    assert boundary.complexity(agent(more_text)) == boundary.complexity(agent())
    assert boundary.complexity(agent(more_code)) > boundary.complexity(agent())
    assert boundary.complexity(agent() | {".agent/helper.py": b"x = 1"}) > boundary.complexity(agent())
