"""Whatever is recorded, the trace is valid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.records import INSTRUCTION, ApiName, Body, Record, assistant, call, result, told, user

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
