"""Tasks whose services must be up before work begins."""

from __future__ import annotations

import pytest
from support.suites import Suites

from autoagent_mcp.models.trial import FailureCause

CHECK = "[environment.healthcheck]\ninterval_sec = 0.05\nstart_interval_sec = 0.05\n"
COUNT = "echo x >> /count; [ $(wc -l < /count) -ge {0} ]"


@pytest.mark.parametrize(
    ("needs", "settings", "is_healthy"),
    [(3, "retries = 3", True), (4, "retries = 3", False), (2, "retries = 1", False), (1, "retries = 1", True)],
)
async def test_so_many_failures_in_a_row_are_one_too_many(
    suites: Suites, needs: int, settings: str, *, is_healthy: bool
) -> None:
    trial = (await suites.one(f"{CHECK}{settings}\ncommand = '{COUNT.format(needs)}'\n")).trial
    if is_healthy:
        assert trial.passed
        return
    assert trial.failure is not None
    assert (trial.reward, trial.failure.cause) == (None, FailureCause.UNHEALTHY)
    assert trial.retried is not None


async def test_within_the_start_period_failures_do_not_count(suites: Suites) -> None:
    settings = f"retries = 1\nstart_period_sec = 60\ncommand = '{COUNT.format(6)}'\n"
    assert (await suites.one(f"{CHECK}{settings}")).trial.passed


async def test_the_last_failure_is_told(suites: Suites) -> None:
    trial = (await suites.one(f"{CHECK}retries = 1\ncommand = 'echo not yet; exit 7'\n")).trial
    assert trial.failure is not None
    assert "ended with 7 and said 'not yet'" in trial.failure.detail


async def test_a_check_out_of_time_has_failed(suites: Suites) -> None:
    trial = (await suites.one(f"{CHECK}retries = 1\ntimeout_sec = 0.5\ncommand = 'sleep 60'\n")).trial
    assert trial.failure is not None
    assert "'sleep 60' ran out of time" in trial.failure.detail


async def test_the_check_comes_before_the_solver_and_its_files(suites: Suites) -> None:
    toml = f"{CHECK}retries = 1\ncommand = '[ -d /logs/agent ] && [ ! -e /solution ]'\n"
    assert (await suites.one(toml)).trial.passed
