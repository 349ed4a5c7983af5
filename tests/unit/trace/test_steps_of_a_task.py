"""A task of several steps: a conversation each, one after the other."""

from __future__ import annotations

from pathlib import Path

from support.records import Record, results, system, told, user

STEPS = {"count": "Count the lines.", "sort": "Sort the lines."}


def test_each_step_begins_with_its_instruction_and_is_no_sub_agent_of_the_one_before(tmp_path: Path) -> None:
    record = Record(tmp_path)
    for name, instruction in STEPS.items():
        record.step = name
        record.say([system("Be brief."), user(instruction)], f"Did {name}.")
    trajectory = record.build_steps(STEPS)
    assert told(trajectory) == [
        ("system", "Be brief."),
        ("user", "Count the lines."),
        ("agent", "Did count."),
        ("system", "Be brief."),
        ("user", "Sort the lines."),
        ("agent", "Did sort."),
    ]
    assert trajectory.subagent_trajectories is None
    assert trajectory.final_metrics is not None
    assert (trajectory.final_metrics.total_prompt_tokens, trajectory.final_metrics.total_steps) == (200, 6)


def test_sub_agents_are_named_after_their_step(tmp_path: Path) -> None:
    record = Record(tmp_path)
    for name, instruction in STEPS.items():
        record.step = name
        record.say([system("Be brief."), user(instruction)], "On it.")
        record.say([system("You look things up."), user("What is a line?")], "It ends with LF.")
    trajectory = record.build_steps(STEPS)
    names = [one.trajectory_id for one in trajectory.subagent_trajectories or ()]
    assert names == ["count-subagent-1", "sort-subagent-1"]


def test_commands_stand_in_their_step_and_a_step_without_any_has_its_instruction(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.step = "sort"
    record.run("sort data.csv", stdout="sorted")
    trajectory = record.build_steps(STEPS)
    assert told(trajectory) == [("user", "Count the lines."), ("user", "Sort the lines.")]
    assert [results(step) for step in trajectory.steps] == [[], [(None, "sorted")]]


def test_lines_of_a_step_that_the_task_has_not_any_more_belong_to_the_last(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.step = "gone"
    record.say([user("Do it.")], "Done.")
    record.run("true")
    assert told(record.build_steps(STEPS))[-1] == ("agent", "Done.")
