"""A task means here what it means under Harbor 0.25: its rewards, and what follows from each way to fail.

Each probe was run under Harbor itself; where Harbor errs (a late write counts, one bad task ends all) this must not.
"""

from __future__ import annotations

import pytest
from support.suites import Files, Suites, make_task

from autoagent_mcp.models.trial import FailureCause, Trial

TXT, JSON = "/logs/verifier/reward.txt", "/logs/verifier/reward.json"


def cause(trial: Trial) -> FailureCause | None:
    return trial.failure.cause if trial.failure else None


# What the verifier says


@pytest.mark.parametrize(
    ("test", "rewards"),
    [
        (f"echo ' -2.5 ' > {TXT}", {"reward": -2.5}),
        (f"echo 7 > {TXT}", {"reward": 7.0}),
        (f'echo 0 > {TXT}; echo \'{{"reward": 0.5, "style": 1}}\' > {JSON}', {"reward": 0.5, "style": 1.0}),
        (f"echo '{{\"reward\": true}}' > {JSON}", {"reward": 1.0}),
        (f"echo '{{\"accuracy\": 0.25}}' > {JSON}", {"accuracy": 0.25}),
        (f"echo 1 > {TXT}; exit 3", {"reward": 1.0}),
    ],
    ids=["negative", "over 1", "json wins, both keys", "true", "only key", "exit status"],
)
async def test_a_reward_is_kept_as_it_is_with_all_its_keys(
    suites: Suites, test: str, rewards: dict[str, float]
) -> None:
    trial = (await suites.one(test=test)).trial
    assert (trial.failure, trial.rewards) == (None, rewards)
    assert trial.reward == next(iter(rewards.values()))
    assert trial.passed is (next(iter(rewards.values())) >= 1)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("true", FailureCause.REWARD_MISSING),
        (f": > {TXT}", FailureCause.REWARD_EMPTY),
        (f"echo pass > {TXT}", FailureCause.REWARD_UNPARSABLE),
        (f"echo nan > {TXT}", FailureCause.REWARD_NOT_FINITE),
        (f"echo 0.7 > {JSON}", FailureCause.REWARD_UNPARSABLE),
        (f'echo \'{{"reward": "1"}}\' > {JSON}', FailureCause.REWARD_NOT_A_NUMBER),
        (f"echo '{{\"reward\": 1e309}}' > {JSON}", FailureCause.REWARD_NOT_FINITE),
        (f'echo \'{{"a": 1, "b": 2}}\' > {JSON}', FailureCause.REWARD_MISSING),
    ],
    ids=["none", "empty", "word", "nan", "scalar", "text", "too large", "no key that counts"],
)
async def test_an_unusable_reward_has_its_own_cause_and_is_never_0(
    suites: Suites, test: str, expected: FailureCause
) -> None:
    measured = await suites.one(test=test)
    assert (measured.trial.reward, cause(measured.trial)) == (None, expected)
    assert measured.trial.retried is not None
    assert measured.trial.retried.cause is expected
    assert (measured.folder / "one__1.failed" / "trial.json").exists()


async def test_which_of_several_keys_counts_is_a_setting_and_part_of_the_fingerprint(suites: Suites) -> None:
    test = f'echo \'{{"style": 0.5, "speed": 1}}\' > {JSON}'
    by_style = await suites.one(test=test, settings={"decision": {"reward_key": "style"}})
    assert (by_style.trial.reward, by_style.trial.passed) == (0.5, False)
    other = Suites(suites.folder / "other", suites.backend)
    by_speed = await other.one(test=test, settings={"decision": {"reward_key": "speed"}})
    assert (by_speed.trial.reward, by_speed.trial.passed) == (1.0, True)
    assert by_style.run.suite.fingerprint != by_speed.run.suite.fingerprint


async def test_a_reward_without_the_key_that_counts_names_the_keys_that_there_are(suites: Suites) -> None:
    trial = (await suites.one(test=f'echo \'{{"a": 1, "b": 2}}\' > {JSON}')).trial
    assert trial.failure is not None
    assert "There is no reward 'reward' among 'a', 'b'; set `reward_key`" in trial.failure.detail


async def test_tests_out_of_time_measure_nothing_and_are_run_again(suites: Suites) -> None:
    measured = await suites.one("[verifier]\ntimeout_sec = 1\n", test=f"echo 1 > {TXT}; sleep 1000")
    assert (measured.trial.reward, cause(measured.trial)) == (None, FailureCause.VERIFIER_TIMEOUT)
    assert measured.trial.retried is not None


# How work ends


async def test_a_solution_that_fails_is_no_error_and_is_verified(suites: Suites) -> None:
    measured = await suites.one(solve="echo made > made; exit 7", test=f"[ -e made ] && echo 1 > {TXT}")
    assert (measured.trial.reward, measured.trial.failure) == (1.0, None)
    assert measured.text("harness.log") == "solve.sh ended with 7\n"


async def test_an_agent_out_of_time_is_verified_and_keeps_its_reward(suites: Suites) -> None:
    body = "await environment.exec('echo done > made')\nimport asyncio\nawait asyncio.Event().wait()"
    measured = await suites.one("[agent]\ntimeout_sec = 1.5\n", test=f"[ -e made ] && echo 1 > {TXT}", solver=body)
    assert (measured.trial.reward, cause(measured.trial)) == (1.0, FailureCause.HARNESS_TIMEOUT)
    assert measured.trial.retried is None


async def test_an_agent_that_raises_is_not_verified_and_counts_0(suites: Suites) -> None:
    measured = await suites.one(solver="raise ValueError('no idea')")
    assert (measured.trial.reward, cause(measured.trial)) == (0.0, FailureCause.HARNESS_CRASHED)
    assert not (measured.files().verifier / "test-stdout.txt").exists()


@pytest.mark.parametrize(
    "start",
    ["(sleep 2; echo 1 > {0}) & disown", "setsid bash -c 'while :; do echo 1 > {0}; sleep 0.02; done' & true"],
    ids=["late", "daemon"],
)
async def test_what_an_agent_leaves_running_writes_no_reward(suites: Suites, start: str) -> None:
    """Under Harbor both count."""
    command = f"({start.format(TXT)}) > /dev/null 2>&1"
    body = f"await environment.exec({command!r})\nimport asyncio\nawait asyncio.Event().wait()"
    test = f"echo 0 > {TXT}; sleep 2.5"
    trial = (await suites.one("[agent]\ntimeout_sec = 1\n", test=test, solver=body)).trial
    assert (trial.reward, cause(trial)) == (0.0, FailureCause.HARNESS_TIMEOUT)


async def test_a_reward_that_the_agent_wrote_beforehand_is_gone(suites: Suites) -> None:
    trial = (await suites.one(solve=f"echo 1 > {TXT}", test="true")).trial
    assert (trial.reward, cause(trial)) == (None, FailureCause.REWARD_MISSING)


async def test_a_verifier_that_the_agent_broke_counts_0_and_buys_no_second_try(suites: Suites) -> None:
    test = f"[ ! -e broken ] && echo 0 > {TXT}"
    trial = (await suites.one(solver="await environment.exec('touch broken')", test=test)).trial
    assert (trial.reward, cause(trial), trial.retried) == (0.0, FailureCause.REWARD_GARBLED, None)


# The sandbox


async def test_the_agent_sees_what_it_would_under_harbor(suites: Suites) -> None:
    look = "id -u; pwd; stat -c %a /logs/agent /logs/verifier /logs/artifacts; grep -c ' /logs' /proc/mounts; ls /tests"
    body = f"print((await environment.exec({look!r})).stdout)"
    measured = await suites.one(solver=body)
    assert measured.text("harness.log").split() == ["0", "/app", "777", "777", "777", "0"]


async def test_the_solution_is_still_there_when_the_tests_run(suites: Suites) -> None:
    trial = (await suites.one(test=f"[ -x /solution/solve.sh ] && echo 1 > {TXT}")).trial
    assert trial.reward == 1.0


async def test_the_solution_has_its_own_env_and_is_asked_nothing(suites: Suites) -> None:
    toml = '[solution]\nenv = {WHO = "${NOBODY:-oracle}"}\n'
    test = f'[ "$(cat said)" = "oracle noninteractive" ] && echo 1 > {TXT}'
    trial = (await suites.one(toml, solve='echo "$WHO $DEBIAN_FRONTEND" > said', test=test)).trial
    assert trial.reward == 1.0


async def test_an_image_that_cannot_be_made_is_no_agents_failure(suites: Suites) -> None:
    broken = "FROM debian:bookworm-slim\nCOPY nothing /here\n"
    measured = await suites.one(files={"environment/Dockerfile": broken})
    assert (measured.trial.reward, cause(measured.trial)) == (None, FailureCause.IMAGE_FAILED)
    assert measured.trial.retried is not None
    assert not measured.files().harness_log.exists()


@pytest.mark.only_on("docker", "RUN needs an engine")
async def test_a_build_that_fails_is_no_agents_failure_and_shows_the_end_of_its_output(suites: Suites) -> None:
    broken = "FROM debian:bookworm-slim\nRUN echo unlucky; exit 9\n"
    trial = (await suites.one(files={"environment/Dockerfile": broken})).trial
    assert (trial.reward, cause(trial)) == (None, FailureCause.IMAGE_FAILED)
    assert trial.failure is not None
    assert "unlucky" in trial.failure.detail


# One bad task


REFUSED = {
    "allow-list": (
        {"task.toml": '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["a.org"]\n'},
        "allowlist",
    ),
    "compose": ({"environment/docker-compose.yaml": "services: {}\n"}, "docker-compose.yaml"),
    "gpus": ({"task.toml": "[environment]\ngpus = 1\n"}, "gpus"),
    "windows": ({"task.toml": '[environment]\nos = "windows"\n', "tests/test.bat": "rem"}, "windows"),
    "no-tests": ({"tests/test.sh": ""}, "tests/test.sh"),
    "key": ({"task.toml": '[environment]\nenv = {K = "${MODEL_KEY}"}\n'}, "would hand out the key of the model"),
    "solution-key": ({"task.toml": '[solution]\nenv = {K = "${MODEL_KEY:-x}"}\n'}, "[solution.env] K"),
    "unset": ({"task.toml": '[verifier]\nenv = {K = "${AUTOAGENT_TEST_UNSET}"}\n'}, "AUTOAGENT_TEST_UNSET"),
}


async def test_a_task_that_cannot_run_is_named_with_its_reason_and_ends_no_other(suites: Suites) -> None:
    """Under Harbor one such task ends the whole job."""
    whole = make_task()
    tasks: dict[str, Files] = {
        name: {key: text for key, text in {**whole, **files}.items() if text} for name, (files, _) in REFUSED.items()
    }
    tasks["one"] = make_task('[environment]\nnetwork_mode = "no-network"\n')
    model = {
        "provider": "openai-compatible",
        "name": "stub",
        "base_url": "http://127.0.0.1:9",
        "api_key_env": "MODEL_KEY",
    }
    measured = await suites.measured(tasks, settings={"model": model})
    assert (measured.trial.task, measured.trial.reward) == ("one", 1.0)
    reasons = {one.task: " ".join(one.reasons) for one in measured.run.suite.excluded}
    assert set(reasons) == set(REFUSED)
    for name, (_, reason) in REFUSED.items():
        assert reason in reasons[name], reasons[name]


async def test_trials_without_a_reward_are_in_no_mean(suites: Suites) -> None:
    """Under Harbor they are zeros there, and one extra key in one trial changes every mean."""
    tests = {"good": f"echo 1 > {TXT}", "bad": f"echo 0 > {TXT}", "none": "true"}
    tests["keys"] = f'echo \'{{"reward": 0.5, "style": 0}}\' > {JSON}'
    measured = await suites.measured({name: make_task(test=test) for name, test in tests.items()})
    assert {trial.task: trial.reward for trial in measured.run.trials} == {
        "good": 1,
        "bad": 0,
        "none": None,
        "keys": 0.5,
    }
