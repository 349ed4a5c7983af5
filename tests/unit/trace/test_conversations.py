"""Conversations with well-behaved harnesses, over the three APIs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from support.records import (
    INSTRUCTION,
    START,
    USAGE,
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
    assert told(found) == [("system", "Be brief."), ("user", INSTRUCTION), ("agent", "Looking."), ("agent", "Done: 3.")]
    looking = found.steps[2]
    assert looking.tool_calls is not None
    assert [(one.function_name, one.arguments) for one in looking.tool_calls] == [
        ("bash", {"command": "ls"}),
        ("read", {"path": "x"}),
    ]
    assert results(looking) == [("b", "no such file"), ("a", "data.csv\n")]
    assert extra(looking)["execs"] == [
        {"kind": "exec", "command": "ls", "duration_sec": 0.5, "return_code": 0, "stdout": "data.csv\n"}
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
        {"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}
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
        {"type": "function", "function": {"name": "bash", "description": "Runs.", "parameters": {"type": "object"}}}
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
