"""What calls may still take counts while they are under way, here and on disk."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from support.gateways import LOCAL, OPENAI, a_trial
from support.stub_upstream import Holds, StubUpstream

from autoagent_mcp.config import ModelSettings, TrialSettings
from autoagent_mcp.models.trial import Usage
from autoagent_mcp.run.spent import recorded

DOLLARS_PER_TOKEN = 2.0 / 1e6
"""Of the model's completions."""


async def test_a_call_under_way_counts_with_what_it_may_take(stub: StubUpstream, tmp_path: Path) -> None:
    stub.fault = Holds(after=0)
    async with a_trial(stub, tmp_path) as trial:
        meter = trial.session.meter
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: trial.chat(max_completion_tokens=10_000))
            await stub.arrived.wait()
            assert meter.spent == Usage()
            assert meter.committed.cost_usd == pytest.approx(10_000 * DOLLARS_PER_TOKEN, rel=0.01)
            on_disk = recorded(trial.files)
            assert on_disk.amount == meter.committed
            stub.released.set()
        assert meter.spent == trial.session.usage == recorded(trial.files).usage
        assert meter.committed == meter.amount
        assert 0 < meter.amount.tokens == 120


async def test_what_a_trial_can_cost(stub: StubUpstream, tmp_path: Path) -> None:
    limits = TrialSettings(max_tokens=1_000_000, max_cost_usd=1.5)
    unknown = ModelSettings(provider="openai-compatible", name="stub", base_url=stub.url)
    most: list[float | None] = []
    for number, model in enumerate((OPENAI, LOCAL, unknown)):
        async with a_trial(stub, tmp_path / str(number), model) as trial:
            most += [
                trial.gateway.most_usd(limits),
                trial.gateway.most_usd(limits.model_copy(update={"max_tokens": 100})),
            ]
    assert most == [1.5, pytest.approx(100 * DOLLARS_PER_TOKEN), 0.0, 0.0, None, None]
