"""Conversations beside the main one, and histories that the harness rewrote."""

from __future__ import annotations

from support.records import INSTRUCTION, Record, assistant, call, extra, result, results, system, told, user


def test_a_conversation_of_its_own_is_a_sub_agent(record: Record) -> None:
    history = [system("Plan."), user(INSTRUCTION)]
    record.say(history, "Delegate.", call("a", "delegate", '{"to": "reader"}'))
    inner = [system("You read files for others and report."), user("Read data.csv")]
    record.say(inner, "", call("r", "bash"))
    record.run("cat data.csv", stdout="a\nb\nc\n")
    inner.append(result("r", "a\nb\nc\n"))
    record.say(inner, "3 lines")
    history.append(result("a", "3 lines"))
    record.say(history, "It is 3.")
    found = record.build()
    assert [text for _, text in told(found)] == ["Plan.", INSTRUCTION, "Delegate.", "It is 3."]
    assert found.subagent_trajectories is not None
    (reader,) = found.subagent_trajectories
    assert [text for _, text in told(reader)] == [
        "You read files for others and report.",
        "Read data.csv",
        "",
        "3 lines",
    ]
    assert extra(reader.steps[2])["execs"][0]["command"] == "cat data.csv"
    assert found.steps[2].observation is not None
    (delegated,) = found.steps[2].observation.results
    assert (delegated.source_call_id, delegated.content) == ("a", "3 lines")
    assert delegated.subagent_trajectory_ref is not None
    assert delegated.subagent_trajectory_ref[0].trajectory_id == reader.trajectory_id
    assert found.final_metrics is not None
    assert found.final_metrics.total_prompt_tokens == 400
    assert reader.final_metrics is not None
    assert reader.final_metrics.total_prompt_tokens == 200


def test_sub_agents_side_by_side_are_kept_apart(record: Record) -> None:
    history = [user(INSTRUCTION)]
    record.say(history, "", call("a", "ask"), call("b", "ask"))
    one, two = [system("Count."), user("part one")], [system("Count."), user("part two")]
    first = record.ask(messages=one)
    second = record.ask(messages=two)
    record.answer({"choices": [{"message": assistant("two: 2")}]}, call=second)
    record.answer({"choices": [{"message": assistant("one: 1")}]}, call=first)
    history += [result("a", "1"), result("b", "2")]
    record.say(history, "3")
    found = record.build()
    assert found.subagent_trajectories is not None
    assert [told(one) for one in found.subagent_trajectories] == [
        [("system", "Count."), ("user", "part one"), ("agent", "one: 1")],
        [("system", "Count."), ("user", "part two"), ("agent", "two: 2")],
    ]
    assert found.steps[1].observation is not None
    assert len(found.steps[1].observation.results) == 3


def test_a_critic_with_another_prompt_and_the_same_message_is_a_sub_agent(record: Record) -> None:
    record.say([system("You solve tasks with a shell."), user(INSTRUCTION)], "3")
    record.say([system("Criticise answers, harshly."), user(INSTRUCTION)], "bad")
    found = record.build()
    assert told(found)[-1] == ("agent", "3")
    assert found.subagent_trajectories is not None
    assert told(found.subagent_trajectories[0])[-1] == ("agent", "bad")


def test_a_history_made_shorter_goes_on_and_says_so(record: Record) -> None:
    history = [system("Be brief."), user(INSTRUCTION)]
    for number in range(3):
        record.say(history, "", call(f"c{number}", "bash"))
        history.append(result(f"c{number}", f"out {number}"))
    compacted = [system("Be brief."), user(f"{INSTRUCTION}\nSo far: three commands."), *history[-2:]]
    record.say(compacted, "3")
    found = record.build()
    assert found.subagent_trajectories is None
    assert told(found)[-2:] == [("user", f"{INSTRUCTION}\nSo far: three commands."), ("agent", "3")]
    assert "earlier items are gone" in extra(found.steps[-1])["history_rewritten"]
    assert len(found.steps) == 7


def test_old_results_blanked_out_are_not_told_again(record: Record) -> None:
    history = [user(INSTRUCTION)]
    for number in range(3):
        record.say(history, "", call(f"c{number}", "bash"))
        history.append(result(f"c{number}", f"out {number}"))
    history[2] = result("c0", "[left out]")
    record.say(history, "3")
    found = record.build()
    assert results(found.steps[1]) == [("c0", "out 0")]
    assert [step.source for step in found.steps] == ["user", "agent", "agent", "agent", "agent"]
    assert "history_rewritten" in extra(found.steps[-1])


def test_a_prompt_with_state_in_it_is_still_the_same_conversation(record: Record) -> None:
    preamble = "You are a careful agent in a shell. " * 5
    history = [user(INSTRUCTION)]
    for turn in range(3):
        record.say([system(f"{preamble}Turn {turn} of 9."), *history], f"step {turn}")
        history += [assistant(f"step {turn}"), user("next")]
    found = record.build()
    assert found.subagent_trajectories is None
    assert [step.source for step in found.steps].count("system") == 3


def test_a_new_prompt_over_the_same_history_is_the_same_conversation(record: Record) -> None:
    history = [user(INSTRUCTION)]
    record.say([system("Plan the work first."), *history], "1. Count.")
    history += [assistant("1. Count."), user("Do it.")]
    record.say([system("Now use tools."), *history], "3")
    assert told(record.build()) == [
        ("system", "Plan the work first."),
        ("user", INSTRUCTION),
        ("agent", "1. Count."),
        ("system", "Now use tools."),
        ("user", "Do it."),
        ("agent", "3"),
    ]


def test_a_window_that_slides_over_the_history_is_the_same_conversation(record: Record) -> None:
    history = [user("Begin.")]
    for number in range(4):
        record.say(history[-3:], "", call(f"c{number}", "bash"))
        history.append(assistant("", call(f"c{number}", "bash")))
        history.append(result(f"c{number}", f"out {number}"))
    found = record.build()
    assert found.subagent_trajectories is None
    assert [results(step) for step in found.steps[2:5]] == [[(f"c{n}", f"out {n}")] for n in range(3)]


def test_a_question_asked_before_the_last_answer_came_goes_on(record: Record) -> None:
    first = record.ask(messages=[user(INSTRUCTION)])
    history = [user(INSTRUCTION), user("Are you there?")]
    record.say(history, "Yes.")
    record.answer({"choices": [{"message": assistant("Late.")}]}, call=first)
    history.append(user("Go on."))
    record.say(history, "3")
    found = record.build()
    assert [text for _, text in told(found)] == [INSTRUCTION, "Late.", "Are you there?", "Yes.", "Go on.", "3"]
    assert "history_rewritten" not in extra(found.steps[-1])


def test_an_instruction_that_comes_up_late_still_stands_first(record: Record) -> None:
    history = [user("Ready?")]
    record.say(history, "Yes.")
    history.append(user(INSTRUCTION))
    record.say(history, "3")
    assert [text for _, text in told(record.build())] == [INSTRUCTION, "Ready?", "Yes.", INSTRUCTION, "3"]


def test_white_space_around_an_answer_is_no_change(record: Record) -> None:
    history = [user(INSTRUCTION)]
    record.say(history, "\n ls \n")
    history[-1] = assistant("ls")
    record.say([*history, user("out")], "3")
    found = record.build()
    assert found.steps[1].message == "\n ls \n"
    assert "put_in_history_as" not in extra(found.steps[1])


def test_an_answer_that_the_harness_shortens_is_told_once(record: Record) -> None:
    history = [user(INSTRUCTION)]
    record.say(history, "ls\nAnd then I would ...")
    history[-1] = assistant("ls")
    history.append(user("data.csv"))
    record.say(history, "3")
    found = record.build()
    assert told(found) == [
        ("user", INSTRUCTION),
        ("agent", "ls\nAnd then I would ..."),
        ("user", "data.csv"),
        ("agent", "3"),
    ]
    assert extra(found.steps[1])["put_in_history_as"] == "ls"


def test_one_growing_message_is_one_conversation(record: Record) -> None:
    text = f"Task: {INSTRUCTION}\nWhat is the next command?"
    for turn in range(3):
        record.say([system("Answer with one command."), user(text)], f"cmd {turn}")
        text += f"\n$ cmd {turn}\nout"
    found = record.build()
    assert found.subagent_trajectories is None
    assert [text for source, text in told(found) if source == "agent"] == ["cmd 0", "cmd 1", "cmd 2"]
