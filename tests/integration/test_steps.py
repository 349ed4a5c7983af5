"""Tasks of several steps in one sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from support.atif import Trajectory
from support.suites import Files, Measured, Suites, make_task

from autoagent_mcp.models.trial import FailureCause

TXT, JSON = "/logs/verifier/reward.txt", "/logs/verifier/reward.json"


def steps(toml: str, tests: Mapping[Any, str], files: Files | None = None, *, head: str = "") -> Files:
    """Return a task whose steps have these tests, each with an instruction and a solution that does nothing."""
    known = {"instruction.md": "", "tests/test.sh": "", "solution/solve.sh": ""}
    for name, test in tests.items():
        known[f"steps/{name}/instruction.md"] = f"Do {name}."
        known[f"steps/{name}/solution/solve.sh"] = "#!/bin/bash\ntrue\n"
        known[f"steps/{name}/tests/test.sh"] = f"#!/bin/bash\n{test}\n"
    return make_task(f"{head}\n{toml}", files={**known, **(files or {})})


def rewards(measured: Measured) -> dict[str, dict[str, float] | None]:
    return {step.name: step.rewards for step in measured.trial.steps}


TWO = '[[steps]]\nname = "first"\n[[steps]]\nname = "second"\n'


async def test_steps_share_a_sandbox_and_their_rewards_are_averaged(suites: Suites) -> None:
    tests = {"first": f"touch /app/kept; echo 1 > {TXT}", "second": f"[ -e kept ] && echo 0.5 > {TXT}"}
    measured = await suites.measured({"one": steps(TWO, tests)})
    assert rewards(measured) == {"first": {"reward": 1.0}, "second": {"reward": 0.5}}
    assert (measured.trial.reward, measured.trial.passed, measured.trial.failure) == (0.75, False, None)
    assert (measured.text("steps/first/verifier/reward.txt"), measured.text("steps/second/verifier/reward.txt")) == (
        "1\n",
        "0.5\n",
    )


async def test_the_final_step_alone_may_count(suites: Suites) -> None:
    tests = {"first": f"echo 0 > {TXT}", "second": f"echo 1 > {TXT}"}
    measured = await suites.measured({"one": steps(TWO, tests, head='multi_step_reward_strategy = "final"')})
    assert (measured.trial.reward, measured.trial.passed) == (1.0, True)


async def test_a_key_that_a_step_has_not_is_0_in_the_mean(suites: Suites) -> None:
    tests = {"first": f'echo \'{{"reward": 1, "style": 1}}\' > {JSON}', "second": f"echo 1 > {TXT}"}
    measured = await suites.measured({"one": steps(TWO, tests)})
    assert measured.trial.rewards == {"reward": 1.0, "style": 0.5}


THREE = '[[steps]]\nname = "first"\nmin_reward = {0}\n[[steps]]\nname = "second"\n[[steps]]\nname = "third"\n'


@pytest.mark.parametrize(
    ("least", "begun", "reward"),
    [("0.5", 3, 0.5), ("0.6", 1, 0.5), ("{reward = 0.5, style = 0}", 1, 0.5), ("{style = -1.0}", 1, 0.5)],
    ids=["reached", "not reached", "another key is missing", "a missing key is below all"],
)
async def test_a_step_below_its_least_reward_is_the_last(suites: Suites, least: str, begun: int, reward: float) -> None:
    tests = dict.fromkeys(("first", "second", "third"), f"echo 0.5 > {TXT}")
    measured = await suites.measured({"one": steps(THREE.format(least), tests)})
    assert (len(measured.trial.steps), measured.trial.reward) == (begun, reward)
    assert any("the steps after it were not taken" in notice for notice in measured.trial.notices) is (begun == 1)


async def test_shared_tests_are_there_and_a_steps_own_lie_over_them(suites: Suites) -> None:
    said = "#!/bin/bash\n. /tests/lib.sh\ncat /tests/who\necho 1 > /logs/verifier/reward.txt\n"
    shared = {"tests/test.sh": said, "tests/who": "all", "tests/lib.sh": "echo lib", "steps/first/tests/test.sh": ""}
    own = {"steps/first/tests/who": "first", "steps/second/tests/test.sh": said.replace("cat", "echo own; cat")}
    measured = await suites.measured({"one": steps(TWO, {"first": "", "second": ""}, {**shared, **own})})
    assert measured.text("steps/first/verifier/test-stdout.txt") == "lib\nfirst"
    assert measured.text("steps/second/verifier/test-stdout.txt") == "lib\nown\nall"


async def test_tests_and_rewards_never_reach_the_next_step(suites: Suites) -> None:
    """Under Harbor they once did."""
    body = """
        seen = await environment.exec("ls -A /tests /logs/verifier /logs/agent /logs/reward.txt; touch /logs/agent/x")
        print(instruction, seen.stdout.split())
    """
    tests = dict.fromkeys(("first", "second"), f"echo secret > /logs/reward.txt; echo 1 > {TXT}")
    measured = await suites.measured({"one": steps(TWO, tests)}, solver=body)
    assert measured.text("steps/first/harness.log") == "Do first. ['/logs/agent:', '/logs/verifier:']\n"
    assert measured.text("steps/second/harness.log") == "Do second. ['/logs/agent:', '/logs/verifier:']\n"
    assert measured.trial.reward == 1.0


async def test_a_steps_files_come_into_the_workdir_and_its_setup_runs_there(suites: Suites) -> None:
    files = {
        "steps/second/workdir/deep/data": "here",
        "steps/second/workdir/setup.sh": "echo $PWD $(cat deep/data) > made\n",
    }
    tests = {
        "first": f"[ ! -e deep ] && echo 1 > {TXT}",
        "second": f'[ "$(cat made)" = "/app here" ] && echo 1 > {TXT}',
    }
    assert (await suites.measured({"one": steps(TWO, tests, files)})).trial.reward == 1.0


async def test_a_first_step_whose_setup_fails_measures_nothing(suites: Suites) -> None:
    files = {"steps/first/workdir/setup.sh": "echo no luck; exit 3\n"}
    trial = (await suites.measured({"one": steps(TWO, dict.fromkeys(("first", "second"), "true"), files)})).trial
    assert trial.failure is not None
    assert (trial.reward, trial.failure.cause) == (None, FailureCause.SETUP_FAILED)
    assert "setup.sh of step 'first' ended with 3 and said 'no luck'." in trial.failure.detail
    assert trial.retried is not None


async def test_a_later_step_that_cannot_begin_leaves_the_rewards_before_it_and_does_not_pass(suites: Suites) -> None:
    files = {"steps/second/workdir/setup.sh": "exit 3\n"}
    trial = (await suites.measured({"one": steps(TWO, {"first": f"echo 1 > {TXT}", "second": "true"}, files)})).trial
    assert trial.failure is not None
    assert (trial.reward, trial.passed, trial.failure.cause) == (1.0, False, FailureCause.STEP_BROKEN)
    assert trial.retried is None


@pytest.mark.only_on("bubblewrap", "the engine limits no storage")
async def test_an_agent_that_leaves_no_room_for_the_next_step_buys_no_second_try(suites: Suites) -> None:
    body = "await environment.exec('head -c 20G /dev/zero > /fill; truncate -s -1000000 /fill')"
    tests = {"first": f"echo 1 > {TXT}", "second": "true"}
    files = {"steps/second/workdir/big": "x" * 3_000_000}
    settings = {"sandbox": {"storage_mb": 16}}
    trial = (await suites.measured({"one": steps(TWO, tests, files)}, solver=body, settings=settings)).trial
    assert trial.failure is not None
    assert (trial.reward, trial.passed, trial.retried) == (1.0, False, None)
    assert trial.failure.cause is FailureCause.STEP_BROKEN


async def test_a_crash_in_a_step_is_verified_and_the_next_step_is_taken(suites: Suites) -> None:
    body = """
        await environment.exec("touch second" if "second" in instruction else "touch first")
        if "first" in instruction:
            raise ValueError("no idea")
    """
    tests = {name: f"[ -e {name} ] && echo 1 > {TXT}" for name in ("first", "second")}
    trial = (await suites.measured({"one": steps(TWO, tests)}, solver=body)).trial
    assert [step.failure.cause if step.failure else None for step in trial.steps] == [
        FailureCause.HARNESS_CRASHED,
        None,
    ]
    assert trial.failure is not None
    assert (trial.reward, trial.failure.cause) == (1.0, FailureCause.HARNESS_CRASHED)


async def test_a_later_verifier_that_the_agent_broke_counts_0_for_its_step(suites: Suites) -> None:
    body = "await environment.exec('touch broken' if 'second' in instruction else 'true')"
    tests = {"first": f"echo 1 > {TXT}", "second": f"[ ! -e broken ] && echo 1 > {TXT}"}
    trial = (await suites.measured({"one": steps(TWO, tests)}, solver=body)).trial
    assert trial.failure is not None
    assert (trial.reward, trial.failure.cause) == (0.5, FailureCause.REWARD_GARBLED)


async def test_a_later_verifier_that_works_nowhere_measures_nothing(suites: Suites) -> None:
    trial = (await suites.measured({"one": steps(TWO, {"first": f"echo 1 > {TXT}", "second": "true"})})).trial
    assert trial.failure is not None
    assert (trial.reward, trial.failure.cause) == (None, FailureCause.REWARD_MISSING)


async def test_the_trace_has_each_steps_instruction_and_commands_in_order(suites: Suites) -> None:
    body = "await environment.exec(f'echo {instruction}')"
    tests = {
        "first": f"cp /logs/agent/trajectory.json /logs/verifier; echo 1 > {TXT}",
        "second": f"cp /logs/agent/trajectory.json /logs/verifier; echo 1 > {TXT}",
    }
    measured = await suites.measured({"one": steps(TWO, tests)}, solver=body)
    whole: dict[str, Any] = json.loads(measured.text("trajectory.json"))
    trace = Trajectory.model_validate(whole)
    assert [(step.source, step.message) for step in trace.steps] == [("user", "Do first."), ("user", "Do second.")]
    assert [str(step.observation).count("echo Do") for step in trace.steps] == [1, 1]
    early: dict[str, Any] = json.loads(measured.text("steps/first/verifier/trajectory.json"))
    assert [step["message"] for step in early["steps"]] == ["Do first."]
    assert measured.trial.commands == 2


async def test_a_step_has_its_own_time(suites: Suites) -> None:
    own = '"first"\nagent = {timeout_sec = 1}'
    toml = "[agent]\ntimeout_sec = 60\n" + TWO.replace('"first"', own)
    body = "import asyncio\nif 'first' in instruction:\n    await asyncio.Event().wait()"
    tests = dict.fromkeys(("first", "second"), f"echo 1 > {TXT}")
    trial = (await suites.measured({"one": steps(toml, tests)}, solver=body)).trial
    assert [step.failure.cause if step.failure else None for step in trial.steps] == [
        FailureCause.HARNESS_TIMEOUT,
        None,
    ]
