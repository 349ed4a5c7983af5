"""Each call gets a seed of its own, and the same one when the run is repeated."""

from __future__ import annotations

from pathlib import Path

from support.gateways import IMPATIENT, LOCAL, OPENAI, a_trial, trial_on
from support.stub_upstream import StubUpstream

from autoagent_mcp.config import ModelSettings
from autoagent_mcp.gateway.app import serve


async def seeds(stub: StubUpstream, folder: Path, model: ModelSettings) -> list[int]:
    """Make two calls in each of three trials of two runs, and return what was sent."""
    stub.reset()
    async with serve(model, upstream_url=stub.url, backoff=IMPATIENT) as gateway:
        for place in ("0001/one__1", "0001/one__2", "0002/one__1"):
            async with trial_on(gateway, folder / ".autoagent" / "runs" / place) as trial:
                await trial.chat(model=model.name)
                await trial.respond(model=model.name)
    return [body["seed"] for body in stub.bodies]


async def test_no_two_calls_are_drawn_alike_and_all_are_drawn_the_same_again(
    stub: StubUpstream, tmp_path: Path
) -> None:
    seven = LOCAL.model_copy(update={"seed": 7})
    first = await seeds(stub, tmp_path / "a", seven)
    assert len(set(first)) == 6
    assert max(first) < 2**31
    assert await seeds(stub, tmp_path / "b", seven) == first
    assert set(first).isdisjoint(await seeds(stub, tmp_path / "c", LOCAL.model_copy(update={"seed": 8})))


async def test_a_harness_does_not_choose_a_pinned_seed_and_an_api_without_one_says_so(
    stub: StubUpstream, tmp_path: Path
) -> None:
    async with a_trial(stub, tmp_path, OPENAI.model_copy(update={"seed": 7})) as trial:
        await trial.chat(seed=5)
        await trial.chat(seed=5)
        await trial.respond()
        assert trial.session.notices == (
            "The harness asked for seed 5; it is not the harness's to choose.",
            "/openai/v1/responses takes no seed at the provider 'openai': none is sent.",
        )
    assert 5 not in {stub.bodies[0]["seed"], stub.bodies[1]["seed"]}
    assert "seed" not in stub.bodies[2]
    async with a_trial(stub, tmp_path / "free") as trial:
        await trial.chat(seed=5)
        await trial.chat()
    assert [body.get("seed") for body in stub.bodies[3:]] == [5, None]
