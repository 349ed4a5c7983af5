"""A model request that holds a canary token is noted, and goes out all the same."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from support.gateways import CHAT, IMPATIENT, JUDGE_KEY, JUDGE_KEY_ENV, OPENAI, Trial, a_judge, judge_on, trial_on
from support.stub_upstream import StubUpstream

from autoagent_mcp.gateway.app import Gateway, serve
from autoagent_mcp.task.canary import Canaries

OWN = Canaries(b"key", "workspace")
TOKEN = OWN.token("one", "tests")
ESCAPED = "".join(f"\\u{ord(letter):04X}" for letter in TOKEN)


@pytest.fixture
async def gateway(stub: StubUpstream, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Gateway]:
    monkeypatch.setenv(JUDGE_KEY_ENV, JUDGE_KEY)
    async with serve(OPENAI, judge=a_judge(stub), canaries=OWN, upstream_url=stub.url, backoff=IMPATIENT) as gateway:
        yield gateway


@pytest.fixture
async def trial(gateway: Gateway, tmp_path: Path) -> AsyncGenerator[Trial]:
    async with trial_on(gateway, tmp_path / "trial") as trial:
        yield trial


async def send(trial: Trial, text: str) -> int:
    body = f'{{"model": "{CHAT["model"]}", "messages": [{{"role": "user", "content": "{text}"}}]}}'
    return (await trial.http.post("/openai/v1/chat/completions", content=body.encode())).status_code


@pytest.mark.parametrize("text", [TOKEN, f"I read:\\n{TOKEN}\\n", ESCAPED])
async def test_a_token_of_this_workspace_is_noted_once_and_the_call_goes_on(trial: Trial, text: str) -> None:
    assert [await send(trial, text) for _ in range(2)] == [200, 200]
    (said,) = trial.session.cheats
    assert said.startswith("A model request held a canary token")
    assert TOKEN not in said


async def test_it_is_noted_of_a_request_that_is_refused_too(trial: Trial) -> None:
    refused = await trial.chat(messages=[{"role": "user", "content": TOKEN}], web_search_options={})
    assert refused.status_code == 400
    assert trial.session.cheats


@pytest.mark.parametrize(
    "text", ["Hi", f"autoagent-canary-{'0' * 32}", Canaries(b"key", "another").token("one", "tests"), TOKEN[:-1]]
)
async def test_any_other_text_condemns_nobody(trial: Trial, text: str) -> None:
    assert await send(trial, text) == 200
    assert trial.session.cheats == ()


async def test_a_verifier_may_show_its_tests_to_its_judge(gateway: Gateway, tmp_path: Path) -> None:
    async with judge_on(gateway, tmp_path / "judge") as judge:
        assert (await judge.chat(messages=[{"role": "user", "content": TOKEN}])).status_code == 200
        assert judge.session.cheats == ()
