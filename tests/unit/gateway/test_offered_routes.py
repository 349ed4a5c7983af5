"""Whoever asks for a route that is not there is told those that are open to him."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.gateways import JUDGE_KEY, JUDGE_KEY_ENV, OPENAI, a_judge, judge_on, trial_on
from support.stub_upstream import StubUpstream

from autoagent_mcp.gateway.app import serve


async def test_an_unknown_route_is_answered_with_those_that_are_open_to_the_caller(
    stub: StubUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(JUDGE_KEY_ENV, JUDGE_KEY)
    async with (
        serve(OPENAI, judge=a_judge(stub), upstream_url=stub.url) as gateway,
        trial_on(gateway, tmp_path) as trial,
        judge_on(gateway, tmp_path) as judge,
    ):
        for caller, has_sandbox in (trial, True), (judge, False):
            message = (await caller.http.get("/openai/v1/models")).json()["error"]["message"]
            assert "POST /anthropic/v1/messages" in message
            assert ("PUT /environment/upload" in message) is has_sandbox
