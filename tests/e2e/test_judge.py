"""Tasks whose tests ask a model, through a whole server that is a process of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import stub_upstream
from support.clients import over_stdio
from support.stub_upstream import Fails, StubUpstream
from support.wire import Answer, Json
from support.workspaces import ANSWER_TASK, NO_MODEL, harness, make_workspace

from autoagent_mcp.models.trial import TrialFiles
from autoagent_mcp.workspace import Workspace

KEY = "sk-judge-fedcba9876543210"
HOST_KEY = "sk-of-the-host-0123456789"
ASK = """\
import json, os, urllib.request
question = {"role": "user", "content": "Is this right? " + open("answer.txt").read()}
request = urllib.request.Request(
    os.environ["OPENAI_BASE_URL"] + "/chat/completions",
    json.dumps({"model": "gpt-4o", "messages": [question]}).encode(),
    {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"},
)
answer = json.load(urllib.request.urlopen(request))
print(answer["choices"][0]["message"]["content"])
"""
TOML = """\
[agent]
timeout_sec = 20
[verifier.env]
OPENAI_API_KEY = "${OPENAI_API_KEY}"
GRADE = "${GRADE:-strict}"
"""
TEST = """\
#!/bin/bash
env
python3 /tests/ask.py > /logs/verifier/reward.txt || echo 0 > /logs/verifier/reward.txt
"""
JUDGED: Mapping[str, str] = {**ANSWER_TASK, "task.toml": TOML, "tests/test.sh": TEST, "tests/ask.py": ASK}
SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1") + '[run]\nbackend = "bubblewrap"\n'
JUDGE = '[judge]\nprovider = "openai-compatible"\nname = "fair"\nbase_url = "{url}"\napi_key_env = "JUDGE_KEY"\n'
SOLVES = "async def run_task(environment, instruction):\n    await environment.exec('echo 42 > answer.txt')"
GUESSES = "async def run_task(environment, instruction):\n    await environment.exec('echo 41 > answer.txt')"


@pytest.fixture
async def stub() -> AsyncGenerator[StubUpstream]:
    def grade(body: Json) -> Answer:
        return Answer(text="1" if "42" in body["messages"][-1]["content"] else "0")

    async with stub_upstream.running() as running:
        running.answer = grade
        yield running


async def measured(workspace: Workspace) -> dict[str, Any]:
    """Measure the baseline and return its one trial as read_run shows it."""
    async with over_stdio(workspace, JUDGE_KEY=KEY, OPENAI_API_KEY=HOST_KEY) as call:
        run = await call("run_suite", description="the baseline", wait_sec=50)
        assert run["state"] == "complete", run
        (row,) = (await call("read_run", run=run["run"]))["trials"]
    return row


def made(folder: Path, stub: StubUpstream, agent: str, *, settings: str = "", script: str = TEST) -> Workspace:
    task = {**JUDGED, "tests/test.sh": script}
    settings = SETTINGS + JUDGE.format(url=stub.url) + settings
    return make_workspace(folder, agent=harness(agent), tasks={"answer": task}, settings=settings)


def files(workspace: Workspace, trial: str = "answer__1") -> TrialFiles:
    return workspace.trial("0001", trial)


@pytest.mark.parametrize(("agent", "reward"), [(SOLVES, 1.0), (GUESSES, 0.0)], ids=["right", "wrong"])
async def test_the_reward_is_what_the_judge_says(tmp_path: Path, stub: StubUpstream, agent: str, reward: float) -> None:
    workspace = made(tmp_path, stub, agent)
    row = await measured(workspace)
    assert (row["reward"], row["failure"]) == (reward, "")
    assert (row["model_calls"], row["tokens"]) == (0, 0)
    assert row["judge"] == "1 calls, 120 tokens, cost unknown"
    (received,) = stub.received
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.body["model"] == "fair"
    record = files(workspace).judge_calls.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in record] == ["request", "response"]
    assert not files(workspace).model_calls.exists()
    assert "Is this right?" not in files(workspace).trajectory.read_text(encoding="utf-8")


async def test_the_tests_get_the_gateways_variables_and_no_key(tmp_path: Path, stub: StubUpstream) -> None:
    workspace = made(tmp_path, stub, SOLVES)
    assert (await measured(workspace))["failure"] == ""
    said = (files(workspace).verifier / "test-stdout.txt").read_text(encoding="utf-8")
    env = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    assert env["GRADE"] == "strict"
    assert env["OPENAI_BASE_URL"].startswith("http://127.0.0.1:")
    assert env["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:")
    assert env["OPENAI_API_KEY"] == env["ANTHROPIC_API_KEY"]
    kept = "".join(path.read_text(encoding="utf-8") for path in workspace.runs.rglob("*") if path.is_file())
    assert env["OPENAI_API_KEY"] in said
    assert KEY not in kept
    assert HOST_KEY not in kept


async def test_a_judge_that_is_down_is_no_0_though_the_tests_wrote_one(tmp_path: Path, stub: StubUpstream) -> None:
    stub.fault = Fails(401, body="no such key")
    workspace = made(tmp_path, stub, SOLVES)
    row = await measured(workspace)
    assert (files(workspace).verifier / "reward.txt").read_text(encoding="utf-8").strip() == "0"
    assert row["reward"] is None
    assert row["failure"].startswith("judge_down: ⟦HTTP 401: no such key")
    assert files(workspace, "answer__1.failed").trial.exists()


async def test_a_judge_that_is_back_for_the_second_try_gives_its_reward(tmp_path: Path, stub: StubUpstream) -> None:
    stub.faults.append(Fails(401))
    row = await measured(made(tmp_path, stub, SOLVES))
    assert (row["reward"], row["failure"]) == (1.0, "")


async def test_a_question_that_the_judges_provider_refuses_is_no_0(tmp_path: Path, stub: StubUpstream) -> None:
    stub.fault = Fails(400, body='{"error": {"message": "effort is not supported"}}')
    row = await measured(made(tmp_path, stub, SOLVES))
    assert row["reward"] is None
    assert row["failure"].startswith("judge_refused: ⟦its provider refused: HTTP 400")


async def test_a_question_that_is_put_again_until_it_is_answered_counts(tmp_path: Path, stub: StubUpstream) -> None:
    stub.faults.append(Fails(400))
    insisting = TEST.replace("python3", "python3 /tests/ask.py; python3")
    row = await measured(made(tmp_path, stub, SOLVES, script=insisting))
    assert (row["reward"], row["failure"]) == (1.0, "")


async def test_tests_that_spend_all_are_no_0(tmp_path: Path, stub: StubUpstream) -> None:
    twice = TEST.replace("python3", "python3 /tests/ask.py; python3")
    workspace = made(tmp_path, stub, SOLVES, settings="[judge.budget]\nmax_turns = 1\n", script=twice)
    row = await measured(workspace)
    assert row["reward"] is None
    assert row["failure"].startswith("judge_out_of_budget: ⟦this verification has made all of its 1 model calls")


async def test_an_agent_that_takes_away_what_leads_to_the_judge_gets_a_0(tmp_path: Path, stub: StubUpstream) -> None:
    breaks = "async def run_task(environment, instruction):\n    await environment.exec('ln -sf /bin/true /bin/sh')"
    row = await measured(made(tmp_path, stub, breaks))
    assert row["reward"] == 0
    assert row["failure"].startswith("reward_garbled")


async def test_a_task_that_asks_where_there_is_no_judge_is_refused_by_name_and_the_others_run(tmp_path: Path) -> None:
    tasks = {"answer": ANSWER_TASK, "judged": JUDGED}
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), tasks=tasks, settings=SETTINGS)
    async with over_stdio(workspace) as call:
        run = await call("run_suite", description="the baseline", wait_sec=50)
        excluded = (await call("list_tasks"))["excluded"]
    assert (run["passed"], run["total"]) == (1, 1)
    (said,) = excluded
    assert "judged" in said
    assert "[verifier.env] OPENAI_API_KEY asks for a model; add [judge] to autoagent.toml" in said


STEALS = """\
import os, urllib.error, urllib.request

def status(key):
    headers = {"authorization": "Bearer " + key, "content-type": "application/json"}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", b"{}", headers)
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return error.code

async def run_task(environment, instruction):
    leaked = (await environment.exec("cat /tmp/leaked")).stdout.strip()
    await environment.exec(f"echo 42 > answer.txt; echo own {status(os.environ['OPENAI_API_KEY'])} > /tmp/said")
    if leaked:
        await environment.exec(f"echo leaked {status(leaked)} >> /tmp/said")
"""


async def test_the_token_of_one_step_is_worth_nothing_in_the_next(tmp_path: Path, stub: StubUpstream) -> None:
    steps = {f"steps/{name}/instruction.md": "Write 42 to answer.txt." for name in ("first", "second")}
    task = {path: text for path, text in JUDGED.items() if path != "instruction.md"} | steps
    task["task.toml"] += '[[steps]]\nname = "first"\n[[steps]]\nname = "second"\n'
    task["tests/test.sh"] = TEST + "cat /tmp/said; echo $OPENAI_API_KEY > /tmp/leaked\n"
    settings = SETTINGS + JUDGE.format(url=stub.url)
    workspace = make_workspace(tmp_path, agent=harness(STEALS), tasks={"answer": task}, settings=settings)
    row = await measured(workspace)
    assert (row["reward"], row["failure"]) == (1.0, "")
    assert row["judge"].startswith("2 calls")
    second = files(workspace).step("second")
    said = (second.verifier / "test-stdout.txt").read_text(encoding="utf-8")
    assert "own 400\nleaked 401\n" in said
    for step in (files(workspace).step("first"), second):
        assert len(step.judge_calls.read_text(encoding="utf-8").splitlines()) == 2


async def test_a_verifier_of_its_own_asks_as_well(tmp_path: Path, stub: StubUpstream) -> None:
    task = dict(JUDGED) | {"tests/Dockerfile": "FROM debian:bookworm-slim\nWORKDIR /app\nCOPY . /tests\n"}
    task["task.toml"] = 'artifacts = ["/app/answer.txt"]\n' + TOML + "[verifier.environment]\n"
    settings = SETTINGS + JUDGE.format(url=stub.url)
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), tasks={"answer": task}, settings=settings)
    row = await measured(workspace)
    assert (row["reward"], row["failure"]) == (1.0, "")
    assert row["judge"].startswith("1 calls")


@pytest.mark.docker
@pytest.mark.parametrize(
    ("image", "reward", "failure"), [("python:3.11-slim", 1.0, ""), ("debian:bookworm-slim", None, "judge_unreachable")]
)
async def test_on_docker_a_judge_is_asked_where_the_image_has_python(
    tmp_path: Path, stub: StubUpstream, image: str, reward: float | None, failure: str
) -> None:
    task = dict(JUDGED) | {"environment/Dockerfile": f"FROM {image}\nWORKDIR /app\n"}
    settings = (SETTINGS + JUDGE.format(url=stub.url)).replace('"bubblewrap"', '"docker"')
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), tasks={"answer": task}, settings=settings)
    row = await measured(workspace)
    assert row["reward"] == reward
    assert row["failure"].startswith(failure)
    assert bool(row["failure"]) == bool(failure)
    assert len(stub.received) == (reward is not None)
