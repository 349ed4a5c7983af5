"""Where two traces part."""

from __future__ import annotations

from typing import Any

from autoagent_mcp.trace.divergence import Pair, diverge
from autoagent_mcp.trace.reading import all_steps

Steps = list[dict[str, Any]]


def says(text: str, source: str = "agent") -> dict[str, Any]:
    return {"source": source, "message": text}


def calls(command: str, *, message: str = "", result: str = "") -> dict[str, Any]:
    call = {"tool_call_id": "1", "function_name": "bash", "arguments": {"command": command}}
    return {**says(message), "tool_calls": [call], "observation": {"results": [{"content": result}]}}


def runs(command: str, message: str) -> dict[str, Any]:
    """What a harness does that takes commands out of a text."""
    result = {"content": "", "extra": {"kind": "exec", "command": command}}
    return {**says(message), "observation": {"results": [result]}}


ASKED: Steps = [says("You work.", "system"), says("Do it.", "user")]


def test_the_first_other_call_parts_them_and_other_words_alone_do_not() -> None:
    a = [*ASKED, calls("ls", message="I look."), calls("cat a"), says("Done.")]
    b = [*ASKED, calls("ls", message="Let me see."), calls("rm a"), says("Done.")]
    found = diverge(a, b)
    assert (found.shared, found.last_shared, found.parted) == (1, Pair(3, 3), Pair(4, 4))
    assert (found.other_words, found.other_results, found.other_prompt) == (Pair(3, 3), None, False)


def test_a_longer_prompt_parts_nobody() -> None:
    a = [*ASKED, calls("ls"), calls("cat a")]
    b = [*ASKED, says("Look at the files first.", "user"), calls("ls"), calls("cat b")]
    found = diverge(a, b)
    assert (found.parted, found.other_prompt) == (Pair(4, 5), True)


def test_the_first_other_result_is_told_though_they_go_on_together() -> None:
    a = [*ASKED, calls("date", result="Monday"), calls("ls"), calls("cat a")]
    b = [*ASKED, calls("date", result="Tuesday"), calls("ls"), calls("cat b")]
    found = diverge(a, b)
    assert (found.other_results, found.parted) == (Pair(3, 3), Pair(5, 5))


def test_one_that_ends_before_the_other_has_no_step_there() -> None:
    longer = [*ASKED, calls("ls"), calls("cat a")]
    assert diverge(longer[:3], longer).parted == Pair(None, 4)
    assert diverge(longer, longer[:3]).parted == Pair(4, None)


def test_commands_that_a_harness_took_out_of_the_text_are_what_is_done() -> None:
    a = [*ASKED, runs("ls", "So: ls"), runs("cat a", "So: cat a")]
    b = [*ASKED, runs("ls", "Perhaps ls"), runs("cat b", "So: cat b")]
    assert (diverge(a, b).parted, diverge(a, b).by_words) == (Pair(4, 4), False)


def test_where_nothing_is_done_the_words_part_them() -> None:
    a, b = [*ASKED, says("4"), says("so 4")], [*ASKED, says("4 "), says("so 5")]
    assert (diverge(a, b).parted, diverge(a, b).by_words) == (Pair(4, 4), True)


def test_traces_that_are_the_same_never_part() -> None:
    steps = [*ASKED, calls("ls"), says("Done.")]
    assert (diverge(steps, steps).shared, diverge(steps, steps).parted) == (2, None)
    assert (diverge([], []).shared, diverge([], ASKED).parted) == (0, None)


def test_a_sub_agent_that_does_something_else_parts_them() -> None:
    def trajectory(command: str) -> dict[str, Any]:
        subs = [{"trajectory_id": "sub-1", "steps": [calls(command)]}]
        return {"steps": [*ASKED, calls("ask")], "subagent_trajectories": subs}

    a, b = all_steps(trajectory("ls")), all_steps(trajectory("pwd"))
    assert (diverge(a, b).parted, a[3]["source"]) == (Pair(4, 4), "agent (sub-1)")
