"""Commands that the harness ran, and trials that ended in all ways."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.records import (
    INSTRUCTION,
    START,
    Body,
    Record,
    assistant,
    call,
    extra,
    result,
    results,
    system,
    told,
    user,
)

from autoagent_mcp.models.trial import Usage


def test_commands_without_tool_calls_are_observations_of_the_step_before(record: Record) -> None:
    history = [user(INSTRUCTION)]
    record.run("pwd", stdout="/app\n")
    record.say(history, "wc -l data.csv")
    record.run("wc -l data.csv", stdout="3\n", stderr="odd", return_code=1, timed_out=True)
    record.run("/app/out.txt", kind="download", return_code=None, size_bytes=3)
    history.append(user("It printed 3."))
    record.say(history, "answer 3")
    found = record.build()
    assert results(found.steps[0]) == [(None, "/app\n")]
    assert results(found.steps[1]) == [(None, "3\n\n[stderr]\nodd"), (None, "")]
    assert found.steps[1].observation is not None
    first, second = found.steps[1].observation.results
    assert first.extra is not None
    assert (first.extra["command"], first.extra["return_code"], first.extra["timed_out"]) == ("wc -l data.csv", 1, True)
    assert second.extra is not None
    assert second.extra["kind"] == "download"
    assert found.steps[3].observation is None


def test_commands_show_even_if_no_model_was_ever_called(record: Record) -> None:
    record.run("make", stdout="built")
    assert results(record.build().steps[0]) == [(None, "built")]


def test_a_command_belongs_to_the_call_that_it_follows_from(record: Record) -> None:
    history = [user(INSTRUCTION)]
    record.say(history, "", call("a", "bash"))
    record.run("first")
    history.append(result("a", "1"))
    record.say(history, "", call("b", "bash"))
    record.run("second")
    found = record.build()
    assert [extra(step)["execs"][0]["command"] for step in found.steps[1:]] == ["first", "second"]


def test_a_command_begun_just_before_the_end_of_the_answer_belongs_to_it(record: Record) -> None:
    history = [user(INSTRUCTION)]
    record.say(history, "", call("a", "bash"))
    history.append(result("a", "1"))
    record.say(history, "", call("b", "bash"))
    record.run("eager", at=START + timedelta(seconds=3.95))
    assert extra(record.build().steps[2])["execs"][0]["command"] == "eager"


def test_a_command_beside_a_sub_agents_open_call_belongs_to_the_call_before(record: Record) -> None:
    record.say([user(INSTRUCTION)], "", call("a", "bash"), call("b", "ask"))
    record.ask(messages=[system("You answer."), user("A question")])
    record.run("beside")
    record.answer({"choices": [{"message": assistant("An answer.")}]})
    assert extra(record.build().steps[1])["execs"][0]["command"] == "beside"


def test_a_long_output_is_cut_in_the_middle_with_a_note(record: Record) -> None:
    record.run("cat", stdout="a" * 50_000 + "z" * 50_000)
    text = results(record.build().steps[0])[0][1]
    assert len(text) < 11_000
    assert text.startswith("aaa")
    assert text.endswith("zzz")
    assert "90000 characters left out" in text


def test_a_call_under_way_when_the_trial_was_killed_shows(record: Record) -> None:
    record.ask(messages=[user(INSTRUCTION)])
    step = record.build().steps[-1]
    assert step.source == "agent"
    assert "under way" in str(step.message)
    assert "under way" in extra(step)["error"]


def test_a_line_cut_in_half_is_passed_over_and_counted(record: Record) -> None:
    history = [user(INSTRUCTION)]
    record.say(history, "One.")
    with record.files.model_calls.open("ab") as file:
        file.write(b'{"event":"request","call":2,"api":"ch')
    record.files.execs.write_bytes(b'{"at":')
    found = record.build()
    assert told(found) == [("user", INSTRUCTION), ("agent", "One.")]
    assert found.notes is not None
    assert found.notes.startswith("2 recorded lines")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"status": 500, "body": {"error": {"message": "overloaded"}}, "error": "HTTP 500"}, "HTTP 500: overloaded"),
        ({"status": None, "body": None, "error": "connection refused"}, "connection refused"),
        ({"status": None, "body": None}, "No answer came."),
    ],
)
def test_a_call_that_failed_says_so_in_its_message_and_beside_it(record: Record, fields: Body, said: str) -> None:
    record.ask(messages=[user(INSTRUCTION)])
    record.answer(usage=Usage(), complete=False, **fields)
    step = record.build().steps[-1]
    assert step.message == f"[{said}]"
    assert extra(step)["error"] == said
    assert step.metrics is None


def test_a_stream_that_broke_off_shows_what_had_come(record: Record) -> None:
    record.ask(messages=[user(INSTRUCTION)])
    message = assistant("Half a sen", call("a", "bash", '{"command": "l'))
    record.answer({"choices": [{"message": message}]}, complete=False)
    step = record.build().steps[-1]
    assert step.message == "Half a sen"
    assert extra(step)["error"] == "The answer broke off."
    assert step.tool_calls is not None
    assert step.tool_calls[0].arguments == {"raw": '{"command": "l'}


def test_a_request_that_is_sent_again_after_an_error_goes_on(record: Record) -> None:
    record.ask(messages=[user(INSTRUCTION)])
    record.answer(None, status=503, usage=Usage())
    record.say([user(INSTRUCTION)], "3")
    found = record.build()
    assert [step.source for step in found.steps] == ["user", "agent", "agent"]
    assert found.subagent_trajectories is None
