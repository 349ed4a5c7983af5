"""A run ends near its budget, however many trials go on side by side, and is taken up again once that is raised."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path

import anyio
import pytest
from support import stub_upstream
from support.gateways import KEY_ENV
from support.harnesses import agent
from support.stub_upstream import Holds, StubUpstream
from support.suites import Suites, make_task
from support.wire import Answer
from support.workspaces import write_tree

from autoagent_mcp import task as task_files
from autoagent_mcp.config import Config
from autoagent_mcp.models.run import Progress, RunKind, RunState
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Arm, Trial
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.run.run import RunRequest, interrupt, load, measure
from autoagent_mcp.run.suite import build_suite
from autoagent_mcp.workspace import Workspace

CALL = """
import json, os, urllib.request
body = {"model": "%s", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 40000}
headers = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"}
url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)).read()
"""
PRICED = "gpt-5-mini"
TOKENS_PER_DOLLAR = 500_000
"""Of its completions."""
JUDGED = """\
[verifier.env]
OPENAI_API_KEY = "${OPENAI_API_KEY}"
OPENAI_BASE_URL = "${OPENAI_BASE_URL}"
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def stub(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[StubUpstream]:
    monkeypatch.setenv(KEY_ENV, stub_upstream.KEY)
    async with stub_upstream.running() as running:
        yield running


@pytest.fixture
def suites(tmp_path: Path) -> Suites:
    return Suites(tmp_path, "bubblewrap")


def priced(stub: StubUpstream) -> dict[str, object]:
    return {"provider": "openai", "name": PRICED, "base_url": stub.url, "api_key_env": KEY_ENV}


def unpriced(stub: StubUpstream) -> dict[str, object]:
    return {"provider": "openai-compatible", "name": "stub", "base_url": stub.url}


def answers(stub: StubUpstream, costs_usd: Iterable[float]) -> None:
    """Have each call cost so much, in the order in which they come."""
    left = iter(costs_usd)
    stub.answer = lambda _body: Answer(
        text="x", prompt_tokens=0, cached_tokens=0, completion_tokens=round(next(left) * TOKENS_PER_DOLLAR)
    )


def peak(trials: Iterable[Trial]) -> int:
    """Return how many went on at once."""
    moments: list[tuple[float, int]] = []
    for trial in trials:
        began = trial.started_at.timestamp()
        moments += [(began, 1), (began + trial.duration_sec, -1)]
    most = now = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most


def tasks(number: int) -> dict[str, dict[str, str]]:
    return {f"task{index:02}": dict(make_task()) for index in range(number)}


async def test_32_side_by_side_end_within_one_trials_cost_of_a_dollar(stub: StubUpstream, suites: Suites) -> None:
    answers(stub, [0.03] * 40)
    settings = {
        "model": priced(stub),
        "trial": {"max_cost_usd": 0.031},
        "run": {"backend": suites.backend, "concurrency": 32, "max_cost_usd": 1.0},
    }
    run = (await suites.measured(tasks(36), solver=CALL % PRICED, settings=settings)).run
    assert run.state is RunState.CUT
    assert run.error.startswith("run.max_cost_usd in autoagent.toml leaves no room for another trial: $0.0")
    assert run.spent.cost_usd is not None
    assert 1.0 - 0.03 <= run.spent.cost_usd <= 1.0 + 0.03
    assert len(stub.received) == run.spent.model_calls == len(run.trials)
    assert all(trial.passed for trial in run.trials)
    assert peak(run.trials) == 32


async def test_a_cheap_first_trial_does_not_let_32_dear_ones_in(stub: StubUpstream, suites: Suites) -> None:
    answers(stub, [0.01, *[0.15] * 40])
    settings = {"model": priced(stub), "run": {"backend": suites.backend, "concurrency": 32, "max_cost_usd": 1.0}}
    run = (await suites.measured(tasks(34), solver=CALL % PRICED, settings=settings)).run
    assert run.state is RunState.CUT
    assert run.spent.cost_usd is not None
    assert 1.0 - 0.15 <= run.spent.cost_usd <= 1.0 + 0.15
    assert peak(run.trials) > 1


async def test_a_model_without_a_price_is_bounded_by_tokens_and_the_rest_is_taken_up(
    stub: StubUpstream, suites: Suites
) -> None:
    stub.answer = lambda _body: Answer(text="x", prompt_tokens=0, cached_tokens=0, completion_tokens=1_000)

    def settings(max_tokens: int) -> dict[str, object]:
        limits = {"max_tokens": max_tokens, "max_cost_usd": 0.001}
        return {"model": unpriced(stub), "run": {"backend": suites.backend, "concurrency": 4, **limits}}

    cut = (await suites.measured(tasks(4), solver=CALL % "stub", settings=settings(2_500))).run
    assert (cut.state, len(cut.trials), cut.spent.tokens, cut.spent.cost_usd) == (RunState.CUT, 2, 2_000, None)
    assert cut.error == (
        "run.max_tokens in autoagent.toml leaves no room for another trial: 500 tokens of it are left, and a trial "
        "takes up to 1000 tokens. Raise it, restart the server and call again: only the trials that are missing are "
        "run."
    )
    assert sum("The price of stub is not known: limits in dollars are not kept" in one for one in cut.notices) == 1
    whole = (await suites.measured(tasks(4), solver=CALL % "stub", settings=settings(4_000))).run
    assert (whole.state, len(whole.trials), whole.spent.tokens) == (RunState.COMPLETE, 4, 4_000)
    assert len(stub.received) == 4
    assert whole.trials[0].started_at == cut.trials[0].started_at
    assert whole.duration_sec > cut.duration_sec > 0


async def test_what_verifiers_ask_counts(stub: StubUpstream, suites: Suites) -> None:
    stub.answer = lambda _body: Answer(text="1", prompt_tokens=0, cached_tokens=0, completion_tokens=1_000)
    test = "python3 - << 'END'\n" + CALL % "any" + "END\necho 1 > /logs/verifier/reward.txt"
    judge = {**unpriced(stub), "budget": {"max_tokens": 5_000}}
    limits = {"backend": suites.backend, "concurrency": 1, "max_tokens": 1_500}
    judged = {name: make_task(JUDGED, test=test) for name in ("one", "two")}
    run = (await suites.measured(judged, settings={"judge": judge, "run": limits})).run
    assert (run.state, run.spent.tokens) == (RunState.CUT, 1_000)
    assert [trial.judge_usage for trial in run.trials] == [run.spent]


def ignore(_progress: Progress) -> None:
    """Report to nobody."""


async def cancelled(stub: StubUpstream, workspace: Workspace) -> Mapping[str, Task]:
    """Cancel a run of one trial in the middle of a model call; return its tasks."""
    write_tree(workspace.folder / "tasks" / "one", make_task())
    found, _ = task_files.load_all(workspace.folder / "tasks")
    config = Config.model_validate({"model": priced(stub), "run": {"backend": "bubblewrap"}})
    stub.fault = Holds(after=0)
    async with open_bench(workspace, config) as bench, anyio.create_task_group() as group:
        able, suite = build_suite(found, (), attempts=1, config=config, backend=bench.backend)
        request = RunRequest(
            id="0001",
            kind=RunKind.SUITE,
            description="a test",
            candidate="tree",
            harnesses={Arm.CANDIDATE: agent(CALL % PRICED)},
            tasks=able,
            suite=suite,
        )
        group.start_soon(measure, request, bench, ignore)
        await stub.arrived.wait()
        group.cancel_scope.cancel()
    return {task.name: task for task in found}


async def test_a_cancelled_and_a_killed_trial_say_what_they_took(stub: StubUpstream, tmp_path: Path) -> None:
    workspace = Workspace(folder=tmp_path)
    known = await cancelled(stub, workspace)
    run = load(workspace, "0001")
    assert run is not None
    assert (run.state, run.spent.model_calls) == (RunState.CANCELLED, 1)
    assert run.spent.cost_usd
    assert [trial.usage for trial in run.trials] == [run.spent]
    # As a killed server leaves it: the run goes on, the trial has not ended and its call was not answered.
    files = workspace.trial("0001", "one__1")
    files.trial.unlink()
    request, _answer = files.model_calls.read_text(encoding="utf-8").splitlines()
    files.model_calls.write_text(request + "\n", encoding="utf-8")
    head = run.model_copy(update={"state": RunState.RUNNING, "trials": ()})
    (workspace.run("0001") / "run.json").write_text(head.model_dump_json(), encoding="utf-8")
    killed = interrupt(workspace, "0001", known)
    assert killed is not None
    assert killed.state is RunState.INTERRUPTED
    assert [trial.usage for trial in killed.trials] == [killed.spent]
    assert killed.spent.completion_tokens == 40_000  # what the call was allowed
    assert killed.spent.cost_usd == pytest.approx(40_000 / TOKENS_PER_DOLLAR, rel=0.01)
