"""Attacks 1 to 5 of the project's list: an agent against the tests that share its sandbox.

What cannot be prevented there without another image (programs that the tests themselves call) must be flagged.
"""

from __future__ import annotations

import pytest
from support.suites import Measured, Suites

from autoagent_mcp.models.trial import FailureCause

TXT = "/logs/verifier/reward.txt"
WIN = f"echo 1 > {TXT}"
PYTHON = {"environment/Dockerfile": "FROM python:3.11-slim-bookworm\nWORKDIR /app\n"}


async def attacked(suites: Suites, command: str, test: str) -> Measured:
    return await suites.one(test=test, files=PYTHON, solver=f"await environment.exec({command!r})")


def outcome(measured: Measured) -> tuple[float | None, FailureCause | None]:
    failure = measured.trial.failure
    return measured.trial.reward, failure.cause if failure else None


@pytest.mark.parametrize(
    "kill",
    ["rm -rf /tests", "chmod 000 /tests 2> /dev/null; mkdir -p /tests/test.sh", "ln -sf /dev/null /tests"],
    ids=["removed", "in the way", "a link"],
)
async def test_a_reward_written_beforehand_never_counts_whatever_becomes_of_the_tests(
    suites: Suites, kill: str
) -> None:
    """Attack 1."""
    measured = await attacked(suites, f"{WIN}; {kill}; echo crash > /app/crash", f"[ -e crash ] || echo 0 > {TXT}")
    assert outcome(measured) == (0.0, FailureCause.REWARD_GARBLED)


PLANTED = {
    "conftest": "echo 'import os; os._exit(0)' | tee /conftest.py /tests/conftest.py conftest.py > /dev/null",
    "sitecustomize": "echo 'import os; os._exit(0)' > $(python3 -c 'import site; print(site.getsitepackages()[0])')/"
    "sitecustomize.py",
    "pth": "echo 'import os; os._exit(0)' > $(python3 -c 'import site; print(site.getsitepackages()[0])')/x.pth",
    "profile": f"echo '{WIN}' | tee /root/.bashrc /root/.profile /etc/profile /etc/bash.bashrc /etc/environment",
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
async def test_planted_start_up_files_have_no_effect_or_are_flagged(suites: Suites, plant: str) -> None:
    """Attack 2."""
    test = f"python3 -c 'print(0)' > {TXT}; [ -s {TXT} ] || rm {TXT}"
    measured = await attacked(suites, plant, test)
    assert measured.trial.reward == 0.0
    assert not measured.trial.passed
    assert measured.trial.changed_system_paths > 0 or suites.backend == "bubblewrap"


@pytest.mark.only_on("docker", "bubblewrap does not tell what changed")
@pytest.mark.parametrize("place", ["/usr/bin/cmp", "/usr/local/bin/cmp"])
async def test_replaced_programs_are_flagged(suites: Suites, place: str) -> None:
    """Attack 3."""
    forge = f"printf '#!/bin/sh\\nexit 0\\n' > {place}.new && chmod +x {place}.new && mv {place}.new {place}"
    measured = await attacked(suites, forge, f"if cmp -s /etc/hosts /etc/passwd; then {WIN}; else echo 0 > {TXT}; fi")
    assert measured.trial.changed_system_paths == 1
    assert f"before the tests ran in the same sandbox: {place}." in measured.trial.notices[0]
    assert any("one__1 (1)" in notice for notice in measured.run.notices)


LEFT = {
    "daemon": f"(while sleep 0.05; do {WIN}; done) > /dev/null 2>&1 & disown",
    "double fork": f"setsid bash -c '(trap \"\" TERM HUP; while sleep 0.05; do {WIN}; done) & disown' > /dev/null 2>&1",
    "at the tests' start": f"(until [ -e /tests/test.sh ]; do sleep 0.02; done; printf '#!/bin/sh\\n{WIN}\\n' "
    "> /tests/test.sh) > /dev/null 2>&1 & disown",
}


@pytest.mark.parametrize("leave", LEFT.values(), ids=LEFT)
async def test_what_is_left_running_writes_nothing_later(suites: Suites, leave: str) -> None:
    """Attack 4."""
    measured = await attacked(suites, leave, f"sleep 0.5; echo 0 > {TXT}; sleep 0.5")
    assert outcome(measured) == (0.0, None)


WORKS = {
    "exits": "import os; os._exit(0)",
    "skips": "import unittest\ndef answer(): raise unittest.SkipTest('no need')",
    "equals everything": "class Any:\n    __eq__ = lambda *_: True\ndef answer(): return Any()",
    "traces its caller": "import sys\nsys.settrace(lambda frame, *_: frame.f_locals.update(said='42'))\n"
    "def answer(): return 41",
}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
async def test_work_that_ends_or_fools_its_tests_does_not_pass(suites: Suites, work: str) -> None:
    """Attack 5; the tests ask for the answer in a process of its own and compare what it printed."""
    command = f"cat > /app/work.py <<'WORK'\n{work}\nWORK"
    test = (
        "said=$(timeout 5 python3 -c 'import work; print(repr(work.answer()))' 2> /dev/null)\n"
        f'if [ "$said" = 42 ]; then {WIN}; else echo 0 > {TXT}; fi'
    )
    assert outcome(await attacked(suites, command, test)) == (0.0, None)
