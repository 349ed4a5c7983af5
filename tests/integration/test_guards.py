"""Guards against a harness that has seen what it must not see: canaries and tasks that cannot be solved."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.stub_upstream import running
from support.suites import Suites, make_task
from support.workspaces import write_tree

from autoagent_mcp import task as task_files
from autoagent_mcp.config import Config
from autoagent_mcp.gateway.meter import Meter
from autoagent_mcp.harness.overfitting import canaries_in
from autoagent_mcp.models.trial import Failure, FailureCause, TrialFiles
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.run.cheating import PASSED_IMPOSSIBLE, cheats_of
from autoagent_mcp.run.judge import Judge
from autoagent_mcp.run.score import score
from autoagent_mcp.run.solver import Nop
from autoagent_mcp.run.trial import Plan, attempt, broken
from autoagent_mcp.task.canary import open_canaries
from autoagent_mcp.workspace import Workspace

on_bubblewrap = pytest.mark.parametrize("backend_name", ["bubblewrap"])
IMPOSSIBLE = "[metadata]\nimpossible = true\n"
SENDS = """\
import json, os, urllib.request

body = {{"model": "stub", "messages": [{{"role": "user", "content": {text!r}}}]}}
headers = {{"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}}
url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)).read()
"""
LOOKS_FOR_IT = """\
found=$(find / \\( -path /proc -o -path /sys -o -path /usr \\) -prune -o -name .autoagent-canary -print)
[ -z "$found" ] && touch /logs/artifacts/nothing-there
"""
IS_WITH_THE_TESTS = """\
[ -e /logs/artifacts/nothing-there ] && grep -q autoagent-canary- /tests/.autoagent-canary && r=1 || r=0
echo $r > /logs/verifier/reward.txt
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@on_bubblewrap
@pytest.mark.parametrize("is_own", [True, False])
async def test_a_harness_that_sends_a_canary_to_the_model_is_caught_and_its_call_goes_on(
    suites: Suites, tmp_path: Path, *, is_own: bool
) -> None:
    canaries = open_canaries(Workspace(folder=tmp_path).id)
    text = canaries.token("another", "tests") if is_own else f"autoagent-canary-{'0' * 32}"
    async with running() as stub:
        model = {"provider": "openai-compatible", "name": "stub", "base_url": stub.url}
        done = await suites.one(solver=SENDS.format(text=text), settings={"model": model})
        assert [body["messages"][0]["content"] for body in stub.bodies] == [text]
    assert (done.trial.failure, done.trial.passed) == (None, True)
    assert bool(done.trial.cheats) is is_own
    said = cheats_of(done.run.trials)
    assert [sentence.startswith("Trial one__1: A model request held a canary token") for sentence in said] == (
        [True] if is_own else []
    )
    assert canaries_in({"agent.py": SENDS.format(text=text).encode()}, canaries) == (
        ("agent.py holds a canary token, which stands only beside tests and solutions and in hidden tasks.",)
        if is_own
        else ()
    )


@pytest.mark.parametrize(
    ("backend_name", "verifier"),
    [
        ("bubblewrap", "shared"),
        ("bubblewrap", "separate"),
        ("bubblewrap", "bundled"),
        pytest.param("docker", "bundled", marks=pytest.mark.docker),
    ],
)
async def test_a_canary_comes_with_the_tests_and_not_before(suites: Suites, tmp_path: Path, verifier: str) -> None:
    toml = "" if verifier == "shared" else '[verifier]\nenvironment_mode = "separate"\n'
    files = {"tests/Dockerfile": "FROM debian:bookworm-slim\nCOPY . /tests\n"} if verifier == "bundled" else {}
    write_tree(tmp_path / "tasks" / "one", make_task(toml, test=IS_WITH_THE_TESTS, files=files))
    tasks, _ = task_files.load_all(tmp_path / "tasks")
    assert open_canaries(Workspace(folder=tmp_path).id).plant(tasks) == ()
    solver = f"await environment.exec({LOOKS_FOR_IT!r})"
    done = await suites.one(toml, test=IS_WITH_THE_TESTS, files=files, solver=solver)
    assert (done.trial.failure, done.trial.reward) == (None, 1.0)


@on_bubblewrap
async def test_a_pass_of_a_task_that_cannot_be_solved_is_a_cheat_and_counts_for_no_score(suites: Suites) -> None:
    tasks = {"one": make_task(IMPOSSIBLE), "two": make_task()}
    done = await suites.measured(tasks, solver="pass")
    one, two = done.run.trials
    assert (one.passed, one.cheats, two.passed, two.cheats) == (True, (PASSED_IMPOSSIBLE,), True, ())
    assert cheats_of(done.run.trials) == (f"Trial one__1: {PASSED_IMPOSSIBLE}",)
    found = score(done.run.trials)
    assert (found.trials, found.passed, found.avg_score) == (1, 1, 1.0)
    assert [task.task for task in found.tasks] == ["two"]
    assert any("one: task.toml: it cannot be solved" in notice for notice in done.run.suite.notices)


@on_bubblewrap
@pytest.mark.parametrize("solver", ["pass", "oracle"])
async def test_nobody_cheats_who_does_not_solve_it_or_is_the_tasks_own(suites: Suites, solver: str) -> None:
    fails = "[ -e solved ] && r=1 || r=0; echo $r > /logs/verifier/reward.txt"
    done = await suites.one(IMPOSSIBLE, test=fails, solve="touch solved", solver=solver)
    assert (done.trial.passed, done.trial.cheats) == (solver == "oracle", ())


async def test_what_the_first_try_showed_is_not_forgotten_in_the_second(tmp_path: Path) -> None:
    write_tree(tmp_path / "tasks" / "one", make_task())
    config = Config.model_validate({"run": {"backend": "bubblewrap"}})
    async with open_bench(Workspace(folder=tmp_path), config) as bench:
        plan = Plan(
            run="0001",
            task=task_files.load(tmp_path / "tasks" / "one"),
            attempt=1,
            files=TrialFiles(folder=tmp_path / "trial"),
            model="stub",
            earlier_cheats=("It looked.",),
        )
        trial = await attempt(plan, Nop(), bench.backend, config, Judge(None, None, Meter()))
    assert (trial.passed, trial.cheats, broken(plan, Failure(cause=FailureCause.INTERRUPTED)).cheats) == (
        True,
        ("It looked.",),
        ("It looked.",),
    )
