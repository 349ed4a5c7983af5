"""Who commands run as, and which network they have, by phase; and what is seen of an agent that changes the system."""

from __future__ import annotations

import pytest
from support.suites import Suites, make_task

TXT = "/logs/verifier/reward.txt"
USERS = """FROM debian:bookworm-slim
RUN useradd -m -u 1234 worker && useradd -m -u 1235 tester && mkdir -m 777 /app
WORKDIR /app
"""
OFFLINE = "[ $(ls /sys/class/net | grep -vc '^lo$') = 0 ]"


@pytest.mark.only_on("docker", "a bubblewrap sandbox has only root")
async def test_each_phase_has_its_user_by_name_or_id(suites: Suites) -> None:
    toml = (
        '[agent]\nuser = "worker"\n[verifier]\nuser = 1235\n'
        '[[verifier.collect]]\ncommand = "id -un > /logs/artifacts/collected"\nuser = "tester"\n'
    )
    body = """
        first = await environment.exec("id -un; touch mine /logs/artifacts/x /logs/agent/x")
        second = await environment.exec("id -un", user="root")
        print(first.stdout.strip(), second.stdout.strip())
    """
    test = f"id -un; cat /tests/data; echo 1 > {TXT}"
    files = {"environment/Dockerfile": USERS, "tests/data": "read"}
    measured = await suites.one(toml, test=test, files=files, solver=body)
    assert (measured.trial.reward, measured.trial.failure) == (1.0, None)
    assert measured.text("harness.log") == "worker root\n"
    assert measured.text("verifier/test-stdout.txt") == "tester\nread"
    assert measured.text("artifacts/logs/artifacts/collected") == "tester\n"


@pytest.mark.only_on("docker", "a bubblewrap sandbox has only root")
async def test_an_images_own_user_works_and_tests_and_finds_no_reward_of_its_own_making(suites: Suites) -> None:
    dockerfile = f"{USERS}USER worker\n"
    test = f"id -un; ls -A /logs/verifier; [ -e made ] && echo 1 > {TXT}"
    files = {"environment/Dockerfile": dockerfile}
    measured = await suites.one(solve=f"touch made; echo 1 > {TXT}; touch /logs/artifacts/kept", test=test, files=files)
    assert (measured.trial.reward, measured.trial.failure) == (1.0, None)
    assert measured.text("verifier/test-stdout.txt") == "worker\ntest-stdout.txt\n"
    assert (measured.files().artifacts / "logs/artifacts/kept").exists()


@pytest.mark.only_on("docker", "a bubblewrap sandbox is always offline")
@pytest.mark.parametrize(
    ("toml", "agent", "tests"),
    [
        ('[environment]\nnetwork_mode = "no-network"\n', "offline", "offline"),
        ('[agent]\nnetwork_mode = "no-network"\n', "offline", "online"),
        ('[environment]\nnetwork_mode = "no-network"\n[verifier]\nnetwork_mode = "public"\n', "offline", "online"),
        ('[verifier]\nenvironment_mode = "separate"\nnetwork_mode = "no-network"\n', "online", "offline"),
    ],
    ids=["no network", "agent without", "tests with", "separate tests without"],
)
async def test_each_phase_has_its_network(suites: Suites, toml: str, agent: str, tests: str) -> None:
    look = f"if {OFFLINE}; then echo offline; else echo online; fi"
    measured = await suites.one(toml, solve=f"({look}) > /logs/artifacts/seen", test=f"{look}; echo 1 > {TXT}")
    assert (measured.trial.reward, measured.trial.failure) == (1.0, None)
    assert measured.text("artifacts/logs/artifacts/seen") == f"{agent}\n"
    assert measured.text("verifier/test-stdout.txt") == f"{tests}\n"


@pytest.mark.only_on("docker", "bubblewrap does not tell what changed")
async def test_a_replaced_program_is_flagged_on_the_trial_and_shown_with_the_run(suites: Suites) -> None:
    forge = f"printf '#!/bin/sh\\necho 1 > {TXT}\\n' > /usr/bin/cmp; echo 'import os' > /app/conftest.py"
    tasks = {"cheat": make_task(test=f"cmp a b; echo 0 > {TXT}"), "honest": make_task()}
    body = f"await environment.exec({forge!r} if instruction == 'Cheat.' else 'touch x')"
    tasks["cheat"] = {**tasks["cheat"], "instruction.md": "Cheat."}
    measured = await suites.measured(tasks, solver=body)
    cheat, honest = measured.run.trials
    assert (honest.notices, honest.changed_system_paths) == ((), 0)
    assert cheat.changed_system_paths == 2
    assert cheat.notices == (
        "The agent changed 2 system paths before the tests ran in the same sandbox: /app/conftest.py, /usr/bin/cmp.",
    )
    assert any("In 1 of the trials the agent changed system paths" in notice for notice in measured.run.notices)
    assert any("cheat__1 (2)" in notice for notice in measured.run.notices)


async def test_what_the_oracle_changes_is_the_tasks_own(suites: Suites) -> None:
    trial = (await suites.one(solve="echo 'import os' > /app/conftest.py")).trial
    assert (trial.passed, trial.notices) == (True, ())


async def test_variables_of_the_server_reach_only_where_the_task_names_them(
    suites: Suites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOAGENT_TEST_SET", "from here")
    toml = (
        '[environment]\nenv = {A = "${AUTOAGENT_TEST_SET}", B = "${AUTOAGENT_TEST_UNSET:-default}", C = "x${D}"}\n'
        '[verifier]\nenv = {E = "${AUTOAGENT_TEST_SET}"}\n'
    )
    body = 'print((await environment.exec("echo $A, $B, $C, $E, $AUTOAGENT_TEST_SET")).stdout)'
    measured = await suites.one(toml, test=f"echo $A, $E; echo 1 > {TXT}", solver=body)
    assert measured.text("harness.log") == "from here, default, x${D}, ,\n\n"
    assert measured.text("verifier/test-stdout.txt") == "from here, from here\n"
