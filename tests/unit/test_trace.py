"""Traces from what the gateway records, for well-behaved harnesses and for all others."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

import pytest
from support.atif import Step, Trajectory

from autoagent_mcp import trace
from autoagent_mcp.models.records import Exec, ModelRequest, ModelResponse
from autoagent_mcp.models.trial import TrialFiles, Usage

Body = dict[str, Any]
ApiName = Literal["chat", "responses", "messages"]

INSTRUCTION = "Count the lines of data.csv."
START = datetime(2026, 11, 21, tzinfo=timezone.utc)
USAGE = Usage(model_calls=1, prompt_tokens=100, completion_tokens=10, cached_tokens=40, cost_usd=0.5)


class Record:
    """Writes what a gateway would, one second per event."""

    def __init__(self, folder: Path, api: ApiName = "chat") -> None:
        self.files = TrialFiles(folder=folder / "count__1")
        self.files.folder.mkdir()
        self._api: ApiName = api
        self._calls = 0
        self._now = START

    def ask(self, **body: Any) -> int:  # noqa: ANN401 - JSON
        """Write a request."""
        self._calls += 1
        self._line(self.files.model_calls, ModelRequest(call=self._calls, api=self._api, at=self._tick(), body=body))
        return self._calls

    def answer(self, body: Body | None, call: int | None = None, **fields: Any) -> None:  # noqa: ANN401 - JSON
        """Write the response to a request, the last one where none is named."""
        known: Body = {"status": 200, "usage": USAGE, **fields}
        self._line(self.files.model_calls, ModelResponse(call=call or self._calls, at=self._tick(), body=body, **known))

    def run(self, command: str, **fields: Any) -> None:  # noqa: ANN401 - fields of Exec
        """Write a command that ended."""
        known: Body = {"at": self._tick(), "return_code": 0, "duration_sec": 0.5, **fields}
        self._line(self.files.execs, Exec(command=command, **known))

    def say(self, history: list[Body], text: str, *calls: Body, **body: Any) -> None:  # noqa: ANN401 - JSON
        """Send a history over Chat Completions, answer it and add the answer to the history."""
        self.ask(messages=history, **body)
        answer = assistant(text, *calls)
        self.answer({"choices": [{"message": answer, "finish_reason": "tool_calls" if calls else "stop"}]})
        history.append(answer)

    def build(self, instruction: str = INSTRUCTION) -> Trajectory:
        """Build the trace and hold it against ATIF's rules, in the bytes that a reader would get."""
        built = trace.build(self.files, task="count", instruction=instruction, model="pinned")
        return Trajectory.model_validate_json(json.dumps(built, ensure_ascii=False, allow_nan=False).encode())

    def _tick(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def _line(self, path: Path, line: ModelRequest | ModelResponse | Exec) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(line.model_dump_json() + "\n")


def system(text: str) -> Body:
    return {"role": "system", "content": text}


def user(text: str) -> Body:
    return {"role": "user", "content": text}


def assistant(text: str, *calls: Body) -> Body:
    return {"role": "assistant", "content": text, **({"tool_calls": list(calls)} if calls else {})}


def call(own: str, name: str, arguments: str = "{}") -> Body:
    return {"id": own, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(own: str, text: str) -> Body:
    return {"role": "tool", "tool_call_id": own, "content": text}


def told(trajectory: Trajectory) -> list[tuple[str, str]]:
    return [(step.source, str(step.message)) for step in trajectory.steps]


def results(step: Step) -> list[tuple[str | None, str]]:
    return [(one.source_call_id, str(one.content)) for one in (step.observation.results if step.observation else [])]


def extra(step: Step) -> Body:
    assert step.extra is not None
    return step.extra


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path)


# Conversations


def test_without_a_single_call_the_instruction_stands_alone(record: Record) -> None:
    assert told(record.build()) == [("user", INSTRUCTION)]
    assert told(record.build(instruction="")) == [("user", "")]


def test_a_conversation_over_chat_is_told_once(record: Record) -> None:
    history = [system("Be brief."), user(INSTRUCTION)]
    record.say(history, "Looking.", call("a", "bash", '{"command": "ls"}'), call("b", "read", '{"path": "x"}'))
    record.run("ls", stdout="data.csv\n")
    history += [result("b", "no such file"), result("a", "data.csv\n")]
    record.say(history, "Done: 3.")
    found = record.build()
    assert told(found) == [
        ("system", "Be brief."),
        ("user", INSTRUCTION),
        ("agent", "Looking."),
        ("agent", "Done: 3."),
    ]
    looking = found.steps[2]
    assert looking.tool_calls is not None
    assert [(one.function_name, one.arguments) for one in looking.tool_calls] == [
        ("bash", {"command": "ls"}),
        ("read", {"path": "x"}),
    ]
    assert results(looking) == [("b", "no such file"), ("a", "data.csv\n")]
    assert extra(looking)["execs"] == [
        {"kind": "exec", "command": "ls", "duration_sec": 0.5, "return_code": 0, "stdout": "data.csv\n"},
    ]
    assert looking.timestamp == (START + timedelta(seconds=2)).isoformat()
    assert extra(looking)["duration_sec"] == 1.0
    assert extra(looking)["finish_reason"] == "tool_calls"
    assert looking.llm_call_count == 1


def test_tokens_and_cost_are_on_each_call_and_summed(record: Record) -> None:
    history = [user(INSTRUCTION)]
    record.say(history, "One.")
    history.append(user("Go on."))
    record.say(history, "Two.")
    found = record.build()
    metrics = found.steps[1].metrics
    assert metrics is not None
    assert (metrics.prompt_tokens, metrics.completion_tokens, metrics.cached_tokens) == (100, 10, 40)
    assert metrics.cost_usd == 0.5
    total = found.final_metrics
    assert total is not None
    assert (total.total_prompt_tokens, total.total_cost_usd, total.total_steps) == (200, 1.0, 4)


def test_an_unknown_price_is_left_out_and_not_zero(record: Record) -> None:
    record.ask(messages=[user(INSTRUCTION)])
    record.answer({"choices": []}, usage=USAGE.model_copy(update={"cost_usd": None}))
    found = record.build()
    assert found.steps[1].metrics is not None
    assert found.steps[1].metrics.cost_usd is None
    assert found.final_metrics is not None
    assert found.final_metrics.total_cost_usd is None
    assert found.final_metrics.total_prompt_tokens == 100


def test_a_conversation_over_responses_with_reasoning(tmp_path: Path) -> None:
    record = Record(tmp_path, "responses")
    sent: list[Body] = [user(INSTRUCTION)]
    tools = [{"type": "function", "name": "bash", "parameters": {"type": "object"}}]
    record.ask(instructions="Be brief.", input=sent, tools=tools, reasoning={"effort": "high"})
    output: list[Body] = [
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "I should look."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Looking."}]},
        {"type": "function_call", "call_id": "a", "name": "bash", "arguments": '{"command":"ls"}'},
        {"type": "function_call", "call_id": "b", "name": "bash", "arguments": '{"command":"pwd"}'},
    ]
    record.answer({"id": "resp_1", "model": "pinned-2026", "status": "completed", "output": output})
    outputs = [
        {"type": "function_call_output", "call_id": "a", "output": "data.csv"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "/app"}]},
    ]
    record.ask(instructions="Be brief.", input=[*sent, *output, *outputs], tools=tools)
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "3"}]}
    record.answer({"id": "resp_2", "status": "completed", "output": [said]})
    record.ask(instructions="Be brief.", input="Sure?", previous_response_id="resp_2")
    record.answer({"id": "resp_3", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}})
    found = record.build()
    assert told(found) == [
        ("system", "Be brief."),
        ("user", INSTRUCTION),
        ("agent", "Looking."),
        ("agent", "3"),
        ("user", "Sure?"),
        ("agent", ""),
    ]
    looking = found.steps[2]
    assert looking.reasoning_content == "I should look."
    assert looking.reasoning_effort == "high"
    assert looking.model_name == "pinned-2026"
    assert results(looking) == [("a", "data.csv"), ("b", "/app")]
    assert extra(found.steps[5])["finish_reason"] == "max_output_tokens"
    assert found.agent.tool_definitions == [
        {"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}},
    ]
    assert found.subagent_trajectories is None


def test_a_conversation_over_messages_with_thinking(tmp_path: Path) -> None:
    record = Record(tmp_path, "messages")
    tools = [{"name": "bash", "description": "Runs.", "input_schema": {"type": "object"}}]
    sent: list[Body] = [user(INSTRUCTION)]
    record.ask(system=[{"type": "text", "text": "Be brief."}], messages=sent, tools=tools)
    content: list[Body] = [
        {"type": "thinking", "thinking": "I should look.", "signature": "x"},
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "a", "name": "bash", "input": {"command": "ls"}},
        {"type": "tool_use", "id": "b", "name": "bash", "input": {"command": "pwd"}},
    ]
    record.answer({"content": content, "stop_reason": "tool_use"})
    marked = {"type": "text", "text": INSTRUCTION, "cache_control": {"type": "ephemeral"}}
    back: list[Body] = [
        {"type": "tool_result", "tool_use_id": "a", "content": "data.csv"},
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "/app"}]},
        {"type": "text", "text": "Hurry."},
    ]
    again = [{"role": "user", "content": [marked]}, {"role": "assistant", "content": content}]
    record.ask(system="Be brief.", messages=[*again, {"role": "user", "content": back}], tools=tools)
    record.answer({"content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "3"}]})
    found = record.build()
    assert told(found) == [
        ("system", "Be brief."),
        ("user", INSTRUCTION),
        ("agent", "Looking."),
        ("user", "Hurry."),
        ("agent", "3"),
    ]
    assert found.steps[2].reasoning_content == "I should look."
    assert results(found.steps[2]) == [("a", "data.csv"), ("b", "/app")]
    assert found.steps[4].reasoning_content == "[redacted]"
    assert found.agent.tool_definitions == [
        {
            "type": "function",
            "function": {"name": "bash", "description": "Runs.", "parameters": {"type": "object"}},
        },
    ]


def test_reasoning_over_chat_is_kept(record: Record) -> None:
    record.ask(messages=[user(INSTRUCTION)], reasoning_effort="low")
    record.answer({"choices": [{"message": {"content": "3", "reasoning_content": "Count."}}]})
    step = record.build().steps[1]
    assert (step.reasoning_content, step.reasoning_effort) == ("Count.", "low")


def test_the_instruction_is_there_even_if_the_harness_never_sends_it(record: Record) -> None:
    record.say([system("Be brief."), user("Solve /task/instruction.md")], "ok")
    assert told(record.build())[:3] == [
        ("system", "Be brief."),
        ("user", INSTRUCTION),
        ("user", "Solve /task/instruction.md"),
    ]


def test_examples_that_the_harness_brings_along_are_no_model_calls(record: Record) -> None:
    examples = [user("Try."), assistant("Ok.", call("x", "bash")), result("x", "out")]
    record.say([*examples, user(INSTRUCTION)], "3")
    found = record.build()
    assert [(step.source, str(step.message), step.llm_call_count) for step in found.steps] == [
        ("user", "Try.", None),
        ("agent", "Ok.", 0),
        ("user", INSTRUCTION, None),
        ("agent", "3", 1),
    ]
    spoken = next(step for step in found.steps if step.llm_call_count == 0)
    assert results(spoken) == [("x", "out")]


# Commands


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


# Ends of all kinds


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


# Sub-agents and rewritten histories


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


# Odd input


WEIRD: list[tuple[str, Callable[[Record], object]]] = [
    ("same id twice", lambda record: record.say([user("x")], "", call("a", "f"), call("a", "g"), call("", "h"))),
    ("a result of no call", lambda record: record.say([user("x"), result("nobody", "?")], "y")),
    (
        "a result twice",
        lambda record: record.say([assistant("", call("a", "f")), result("a", "1"), result("a", "2")], "y"),
    ),
    ("no messages", lambda record: record.say([], "y")),
    ("arguments in pieces", lambda record: record.say([user("x")], "", call("a", "f", "[1]"), call("b", "g", "NaN"))),
    ("not finite", lambda record: record.say([user("x")], "", call("a", "f", '{"x": [NaN, 1e999, -Infinity]}'))),
    ("half a surrogate", lambda record: record.say([user("x")], "", call("a", "f", '{"\\ud800": "\\udc00"}'))),
    ("too deep", lambda record: record.say([user("x")], "", call("a", "f", '{"x":' + "[" * 400 + "]" * 400 + "}"))),
    ("far too deep", lambda record: record.say([user("x")], "", call("a", "f", "[" * 99_999))),
    ("a huge number", lambda record: record.say([user("x")], "", call("a", "f", '{"x": 1' + "0" * 3000 + "}"))),
    (
        "a garbage answer",
        lambda record: (record.ask(messages="no"), record.answer({"choices": [3, {"message": "no"}]})),
    ),
    ("an empty answer", lambda record: (record.ask(), record.answer({}))),
    ("a tool of no kind", lambda record: record.say([user("x")], "y", tools=[3, {}, {"function": {}}, {"custom": {}}])),
    ("a picture", lambda record: record.say([{"role": "user", "content": [{"type": "image_url"}, 3, "text"]}], "y")),
    ("an orphan", lambda record: record.answer({"choices": []}, call=7)),
]


@pytest.mark.parametrize("happen", [happen for _, happen in WEIRD], ids=[name for name, _ in WEIRD])
def test_odd_input_still_gives_a_valid_trace(record: Record, happen: Callable[[Record], object]) -> None:
    happen(record)
    record.run("after", error="lost", return_code=None)
    found = record.build()
    assert any(INSTRUCTION in text for _, text in told(found))


def test_half_a_surrogate_in_a_recorded_line_costs_one_character(record: Record) -> None:
    record.say([user(INSTRUCTION)], "before HALF after")
    whole = record.files.model_calls.read_text(encoding="utf-8")
    record.files.model_calls.write_text(whole.replace("HALF", "\\ud800"), encoding="utf-8")
    assert told(record.build())[-1] == ("agent", "before ? after")


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
@pytest.mark.parametrize("cut", range(0, 100, 7))
def test_a_record_cut_anywhere_gives_a_valid_trace(tmp_path: Path, api: ApiName, cut: int) -> None:
    record = Record(tmp_path, api)
    history: list[Body] = [user(INSTRUCTION)]
    for number in range(3):
        record.ask(messages=history, input=history)
        said = [{"type": "text", "text": f"say {number}"}]
        record.answer({"content": said, "output": [{"role": "assistant", "content": said}], "id": f"r{number}"})
        record.run(f"run {number}")
        history += [{"role": "assistant", "content": said}, user("next")]
    for path in (record.files.model_calls, record.files.execs):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * cut // 100])
    assert told(record.build())[0] == ("user", INSTRUCTION)
