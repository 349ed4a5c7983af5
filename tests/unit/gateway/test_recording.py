"""What a trial did is on disk as it happens, and holds no secret."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from pathlib import Path

import anyio
import httpx2
import pytest
from support.gateways import ANTHROPIC, CHAT, MESSAGES, OPENAI, a_trial, trial_on
from support.stub_upstream import KEY, Drops, Fails, Holds, Says, StubUpstream
from support.wire import Answer

from autoagent_mcp.gateway.app import serve
from autoagent_mcp.gateway.recorder import EXECS_LIMIT_BYTES, Recorder
from autoagent_mcp.models.records import Exec, ModelRequest
from autoagent_mcp.models.trial import FailureCause, TrialFiles

FULL = Path("/dev/full")


async def test_the_request_is_on_disk_before_it_is_answered(stub: StubUpstream, tmp_path: Path) -> None:
    stub.fault = Holds(after=0)
    async with a_trial(stub, tmp_path) as trial, anyio.create_task_group() as group:
        group.start_soon(trial.chat)
        with anyio.fail_after(5):
            await stub.arrived.wait()
        assert [line.call for line in trial.requests] == [1]
        assert trial.responses == []
        stub.released.set()


async def test_the_request_is_recorded_as_it_went_out(stub: StubUpstream, tmp_path: Path) -> None:
    pinned = OPENAI.model_copy(update={"effort": "low"})
    async with a_trial(stub, tmp_path, pinned) as trial:
        await trial.chat(stream=True, reasoning_effort="high")
        assert trial.requests[0].body == stub.bodies[0]
        assert trial.requests[0].body["reasoning_effort"] == "low"


def texts_below(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()]


async def test_no_key_appears_in_a_record_an_error_or_a_log(
    stub: StubUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    told = f"your key {KEY}"
    echo = json.dumps({"error": {"message": told}})
    stub.answer = lambda body: Answer(text=f"{told} {body['model']}", reasoning=told)
    stub.faults.extend([Fails(500, body=told), Says(told.encode()), Fails(400, body=echo), Fails(429, body=echo)])
    seen: list[str] = []
    async with a_trial(stub, tmp_path) as trial:
        for streamed in (False, True):
            seen += [(await trial.respond(stream=streamed)).text, (await trial.chat(stream=streamed)).text]
        assert [line.status for line in trial.responses] == [400, 200, 200, 200]
        stub.fault = Drops(after=2)
        seen.append((await trial.chat(stream=True)).text)
        seen.append(str(trial.session.failure))
    stub.fault = Fails(401, body=told)
    async with a_trial(stub, tmp_path / "2", ANTHROPIC) as trial:
        seen.append((await trial.message()).text)
        seen.append(str(trial.session.failure))
    records = texts_below(tmp_path)
    assert len(records) == 2
    everything = [*seen, *records, caplog.text, *capfd.readouterr()]
    assert not [text for text in everything if KEY in text]
    assert all("your key [key]" in text for text in records)
    assert any("your key [key]" in text for text in seen)
    assert any(f"Bearer {KEY}" == item.headers.get("authorization") for item in stub.received)
    assert stub.received[-1].headers["x-api-key"] == KEY


async def test_leaving_the_session_cancels_what_is_under_way_and_writes_it_down(
    stub: StubUpstream, tmp_path: Path
) -> None:
    stub.fault = Holds(after=2)
    has_begun, lines = anyio.Event(), list[str]()
    async with serve(OPENAI, upstream_url=stub.url) as gateway, trial_on(gateway, tmp_path) as trial:

        async def call() -> None:
            body = {**CHAT, "stream": True}
            async with trial.http.stream("POST", "/openai/v1/chat/completions", json=body) as answer:
                async for line in answer.aiter_lines():
                    lines.append(line)
                    has_begun.set()

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await has_begun.wait()
                await trial.session.close()
                assert not trial.responses[0].complete
                await stub.cut_off.wait()
        assert "this trial has ended" in " ".join(lines)
        assert trial.session.failure is None


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
async def test_a_disk_that_is_full_stops_the_trial_and_is_told(stub: StubUpstream, tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    folder.mkdir()
    (folder / "model_calls.jsonl").symlink_to(FULL)
    answers: list[httpx2.Response] = []

    async def work() -> None:
        async with a_trial(stub, tmp_path) as trial:
            answers.append(await trial.chat())

    with pytest.raises(OSError, match="No space left on device"):
        await work()
    assert answers[0].status_code == 400
    assert "could not be recorded" in answers[0].json()["error"]["message"]
    assert stub.received == []


async def test_a_record_line_is_whole_also_for_odd_text(stub: StubUpstream, tmp_path: Path) -> None:
    odd = "line\u2028sep\x00nul \U0001f600 \x85"
    stub.answer = lambda _body: Answer(text=odd)
    async with a_trial(stub, tmp_path, ANTHROPIC) as trial:
        await trial.message(stream=True, system=odd)
        lines = trial.files.model_calls.read_bytes().split(b"\n")
        assert len(lines) == 3
        assert ModelRequest.model_validate_json(lines[0]).body["system"] == odd
        assert json.loads(lines[1])["body"]["content"][0]["text"] == odd
        assert MESSAGES["model"] == ANTHROPIC.name


async def test_a_provider_that_reports_its_own_failure_in_a_stream_is_down(stub: StubUpstream, tmp_path: Path) -> None:
    started = 'event: message_start\ndata: {"type": "message_start", "message": {"content": []}}\n\n'
    failed = 'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'
    stub.fault = Says((started + failed).encode(), "text/event-stream")
    async with a_trial(stub, tmp_path, ANTHROPIC) as trial:
        answer = await trial.message(stream=True)
        assert answer.text == started + failed
        assert trial.session.failure is not None
        assert trial.session.failure.cause is FailureCause.MODEL_PROVIDER_DOWN
        assert trial.session.failure.detail == "Overloaded"


def test_a_harness_in_a_loop_does_not_fill_the_disk(tmp_path: Path) -> None:
    files = TrialFiles(folder=tmp_path)
    recorder = Recorder(files.model_calls, files.execs, None)
    now = datetime.now(timezone.utc)
    loud = Exec(at=now, duration_sec=0.1, command="yes", return_code=0, stdout="y" * 99_000, stderr="n" * 99_000)
    number = 2 * EXECS_LIMIT_BYTES // 200_000
    for _ in range(number):
        recorder.exec(loud)
    lines = files.execs.read_bytes().splitlines()
    last = Exec.model_validate_json(lines[-1])
    assert len(lines) == number
    assert files.execs.stat().st_size < EXECS_LIMIT_BYTES + 1_000_000
    assert "98800 characters not recorded" in last.stdout
    assert (last.command, last.return_code) == ("yes", 0)
