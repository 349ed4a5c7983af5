"""Which part of the harness a candidate changes: told from the shipped agent.py and an edited one."""

from __future__ import annotations

import pytest
from support.workspaces import ROOT

from autoagent_mcp.experiment.kind import kind_of_change

AGENT = (ROOT / "agent.py").read_text(encoding="utf-8")
PROMPT = '"You complete tasks on a Linux machine by running bash commands."'
HELPER = "def short(text: str) -> str:\n    return text[:{}]\n\n\n"


def kinds(before: str, now: str, **files: str) -> tuple[str, ...]:
    """Return the kinds of what differs; other files are new, named without `.agent/`."""
    others = {f".agent/{name.replace('_', '.')}": text.encode() for name, text in files.items()}
    return tuple(
        kind.value for kind in kind_of_change({"agent.py": before.encode()}, {"agent.py": now.encode()} | others)
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (PROMPT, '"You are careful."', ("prompt",)),
        (PROMPT, f"{PROMPT} + f' Turns: {{1}}.'", ("prompt",)),
        ("MAX_TURNS = 20", 'MAX_TURNS = 20\nEXAMPLES = ({"role": "user", "content": "List the files."},)', ("prompt",)),
        ('name="task-agent"', 'name="careful-agent"', ("prompt",)),
        ("MAX_TURNS = 20", "MAX_TURNS = 40", ("settings",)),
        ('("gpt-5", "o1"', '("gpt-5", "o2"', ("settings",)),
        ("Run a bash command and return", "Run any bash command and return", ("tools",)),
        ("timeout_sec=60", "timeout_sec=600", ("tools",)),
        ("MaxTurnsExceeded:\n        return", "MaxTurnsExceeded:\n        return await again() or", ("loop",)),
        ("ModelSettings(reasoning", "ModelSettings(temperature=0.2, reasoning", ("loop",)),
        ("import AsyncOpenAI", "import AsyncOpenAI, OpenAI", ("loop",)),
        ("disabled=True", "disabled=False", ("loop",)),
        ("MAX_TURNS = 20", "MAX_TURNS = 20  # enough", ()),
        ("MAX_TURNS = 20", "MAX_TURNS = (20", ()),
    ],
)
def test_an_edit_has_the_kind_of_what_it_touches(old: str, new: str, expected: tuple[str, ...]) -> None:
    assert AGENT.count(old) == 1
    assert kinds(AGENT, AGENT.replace(old, new)) == expected
    assert kinds(AGENT.replace(old, new), AGENT) == expected


def test_a_helper_belongs_to_what_uses_it() -> None:
    place = "def create_agent"
    of_tools = AGENT.replace(place, HELPER.format(10) + place).replace(
        "{result.stdout}{result.stderr}", "{short(result.stdout)}"
    )
    of_loop = AGENT.replace(place, HELPER.format(10) + place).replace("str(result.final_output)", "short(str(result))")
    assert kinds(of_tools, of_tools.replace("text[:10]", "text[:20]")) == ("tools",)
    assert kinds(of_loop, of_loop.replace("text[:10]", "text[:20]")) == ("loop",)


def test_other_files_are_files_and_libraries_and_several_kinds_are_all_told() -> None:
    edited = AGENT.replace("MAX_TURNS = 20", "MAX_TURNS = 40").replace(PROMPT, '"Be careful."')
    assert kinds(AGENT, edited, requirements_txt="numpy\n", notes_md="Look twice.\n") == (
        "prompt",
        "settings",
        "files",
        "libraries",
    )
    assert kinds(AGENT, AGENT) == ()
