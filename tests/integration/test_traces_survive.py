"""Whatever becomes of a trial, read_trace shows every model call that it made."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.clients import in_memory
from support.stub_upstream import running
from support.wire import Answer
from support.workspaces import ANSWER_TASK, NO_MODEL, commit_all, harness, make_workspace

ASK = """\
import asyncio, os, signal
from openai import AsyncOpenAI


async def ask(number):
    messages = [{"role": "user", "content": f"question {number}"}]
    await AsyncOpenAI().chat.completions.create(model=MODEL, messages=messages)


async def run_task(environment, instruction):
    for number in range(3):
        await ask(number)
    await environment.exec("echo 42 > answer.txt")
"""
TASK = {**ANSWER_TASK, "task.toml": 'schema_version = "1.4"\n[agent]\ntimeout_sec = 8\n'}


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        pytest.param("raise ValueError('lost')", "harness_crashed", id="raises"),
        pytest.param("await asyncio.sleep(999)", "harness_timeout", id="runs out of time"),
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", "harness_crashed", id="killed"),
        pytest.param("while True:\n        await ask(3)", "out_of_turns", id="runs out of turns"),
    ],
)
async def test_the_trace_of_a_trial_that_ended_badly_has_every_model_call(tmp_path: Path, end: str, cause: str) -> None:
    async with running() as model:
        model.answer = lambda body: Answer(text=f"answer to {body['messages'][-1]['content']}")
        workspace = make_workspace(
            tmp_path,
            agent=harness(f"{ASK}    {end}\n"),
            tasks={"answer": TASK},
            settings=NO_MODEL.format(url=model.url) + "\n[trial]\nmax_turns = 5\n",
        )
        (tmp_path / ".agent").mkdir()
        (tmp_path / ".agent" / "requirements.txt").write_text("openai>=2\n", encoding="utf-8")
        commit_all(tmp_path)
        async with in_memory(workspace) as call:
            run = await call("run_suite", description="the baseline", wait_sec=100)
            row = (await call("read_run", run=run["run"]))["trials"][0]
            trace = await call("read_trace", run=run["run"], trial="answer__1")
    assert row["failure"].startswith(cause)
    assert row["model_calls"] == (5 if cause == "out_of_turns" else 3)
    for number in range(3):
        assert f"answer to question {number}" in str(trace)
