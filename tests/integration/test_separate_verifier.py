"""Verifiers with a sandbox of their own: only what the task names crosses over."""

from __future__ import annotations

import pytest
from support.suites import Suites, make_task

from autoagent_mcp.models.trial import FailureCause

TXT = "/logs/verifier/reward.txt"
SEPARATE = '[verifier]\nenvironment_mode = "separate"\n'
IMAGE = "FROM debian:bookworm-slim\nCOPY . /tests/\nWORKDIR /checks\n"


async def test_a_fresh_sandbox_has_the_artifacts_and_nothing_else_of_the_agent(suites: Suites) -> None:
    solve = f"echo kept > /logs/artifacts/a; touch only /logs/agent/log; echo 1 > {TXT}"
    test = f"cat /logs/artifacts/a; find /app /logs /solution -name only -o -name log -o -name '*.*'; echo 0.5 > {TXT}"
    measured = await suites.one(SEPARATE, solve=solve, test=test)
    assert (measured.trial.reward, measured.trial.failure) == (0.5, None)
    kept, *found = measured.text("verifier/test-stdout.txt").splitlines()
    assert (kept, found[0]) == ("kept", "/logs/verifier/test-stdout.txt")
    assert "/solution" in found[1]
    assert len(found) == 2


async def test_artifacts_come_to_the_paths_that_they_left_and_folders_hold_nothing_else(suites: Suites) -> None:
    environment = {"environment/Dockerfile": "FROM debian:bookworm-slim\nWORKDIR /app\nCOPY old /app/out/old\n"}
    toml = 'artifacts = ["/app/out", {source = "/app/note.txt", destination = "elsewhere/note"}]\n' + SEPARATE
    solve = "rm out/old; mkdir -p out/deep; echo new > out/deep/new; echo noted > note.txt; chmod 6755 out/deep/new"
    test = f"ls -R /app; cat /app/note.txt; stat -c %a /app/out/deep/new; echo 1 > {TXT}"
    measured = await suites.one(toml, solve=solve, test=test, files={**environment, "environment/old": "old"})
    said = measured.text("verifier/test-stdout.txt").split()
    assert "old" not in said
    assert said[-2:] == ["noted", "755"]
    assert measured.text("artifacts/elsewhere/note") == "noted\n"


async def test_links_special_files_and_ways_out_do_not_cross_over(suites: Suites) -> None:
    toml = f'artifacts = ["/app/out"]\n{SEPARATE}'
    solve = (
        "mkdir out; echo kept > out/file; ln -s /etc/passwd out/link; ln -s / out/root; mkfifo out/pipe; "
        "ln -s ../.. out/up"
    )
    test = f"ls -A /app/out; echo 1 > {TXT}"
    measured = await suites.one(toml, solve=solve, test=test)
    assert measured.text("verifier/test-stdout.txt") == "file\n"
    assert any("Of the artifact /app/out 3 links" in notice for notice in measured.trial.notices)


async def test_an_image_made_from_the_tests_brings_them_along(suites: Suites) -> None:
    toml = "[verifier.environment]\nenv = {SAID = 'here'}\n"
    test = f"#!/bin/bash\necho $SAID $PWD; ls /tests; echo 1 > {TXT}\n"
    files = {"tests/Dockerfile": IMAGE, "tests/data": "x"}
    measured = await suites.one(toml, test=test, files=files)
    assert (measured.trial.reward, measured.trial.failure) == (1.0, None)
    said = measured.text("verifier/test-stdout.txt").split()
    assert said[:2] == ["here", "/checks"]
    assert {"data", "test.sh"} <= set(said)


async def test_an_image_made_from_the_tests_without_a_test_script_says_so(suites: Suites) -> None:
    files = {
        "tests/Dockerfile": "FROM debian:bookworm-slim\nCOPY data /tests/data\n",
        "tests/data": "x",
        "tests/test.sh": "",
    }
    trial = (await suites.one(SEPARATE, files=files)).trial
    assert trial.failure is not None
    assert (trial.reward, trial.failure.cause) == (None, FailureCause.REWARD_MISSING)
    assert "/tests/test.sh" in trial.failure.detail


async def test_an_agent_that_replaces_the_system_gains_nothing(suites: Suites) -> None:
    forge = (
        f"printf '#!/bin/sh\\necho 1 > {TXT}\\n' > /usr/local/bin/grep; chmod +x /usr/local/bin/grep; mkdir -p /tests"
    )
    test = f"if grep -q done /logs/artifacts/x; then echo 1 > {TXT}; else echo 0 > {TXT}; fi"
    trial = (await suites.one(SEPARATE, solver=f"await environment.exec({forge!r})", test=test)).trial
    assert (trial.reward, trial.failure) == (0.0, None)


async def test_an_artifact_that_breaks_the_verifier_counts_0_and_buys_no_second_try(suites: Suites) -> None:
    test = f"[ ! -e /logs/artifacts/bomb ] && echo 0 > {TXT}"
    body = "await environment.exec('touch /logs/artifacts/bomb')"
    trial = (await suites.one(SEPARATE, solver=body, test=test)).trial
    assert trial.failure is not None
    assert (trial.reward, trial.failure.cause, trial.retried) == (0.0, FailureCause.REWARD_GARBLED, None)


STEPS = """
[[steps]]
name = "apart"
artifacts = ["/app/out"]
[steps.verifier]
environment_mode = "separate"
[[steps]]
name = "together"
"""


async def test_a_step_may_have_a_sandbox_of_its_own_and_the_agents_goes_on(suites: Suites) -> None:
    test = f"#!/bin/bash\nls -A /app; echo 1 > {TXT}\n"
    files = {
        "instruction.md": "",
        "tests/test.sh": test,
        "steps/apart/instruction.md": "Do it.",
        "steps/apart/solution/solve.sh": "#!/bin/bash\nmkdir out; touch out/a; touch stays\n",
        "steps/together/instruction.md": "Do it.",
        "steps/together/solution/solve.sh": "#!/bin/bash\ntrue\n",
    }
    measured = await suites.measured({"one": make_task(STEPS, files=files)})
    assert (measured.trial.reward, measured.trial.failure) == (1.0, None)
    assert measured.text("steps/apart/verifier/test-stdout.txt") == "out\n"
    assert measured.text("steps/together/verifier/test-stdout.txt") == "out\nstays\n"


@pytest.mark.only_on("docker", "bubblewrap has no image but the machine's own system")
async def test_a_finished_image_brings_its_tests_along(suites: Suites) -> None:
    toml = '[verifier.environment]\ndocker_image = "debian:bookworm-slim"\n'
    trial = (await suites.one(toml)).trial
    assert trial.failure is not None
    assert "/tests/test.sh" in trial.failure.detail
