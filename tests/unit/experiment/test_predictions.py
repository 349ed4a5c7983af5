"""What a meta-agent expects of a change, and how right it was, on real git and a real ledger."""

from __future__ import annotations

import pytest
from support.labs import REFLECTION, FakeMeasure, edit, measured, opened

from autoagent_mcp.errors import UnknownNameError
from autoagent_mcp.models.experiment import ChangeKind, Forecast, PredictionScore
from autoagent_mcp.models.run import Prediction, RunState
from autoagent_mcp.workspace import Workspace


async def test_a_prediction_is_scored_beside_the_incumbent_and_stays_as_it_was_scored(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        assert (await lab.start_suite("The baseline", ["cherry"])).prediction is None
        assert (await measured(lab)).prediction is None
        assert "prediction" not in (await lab.brief()).text

        edit(workspace, "apple", "cherry")
        run = await lab.start_suite("Swap", ["damson", "cherry", "damson"], ["apple"])
        await lab.wait(run.id, 20)
        found = PredictionScore(
            fixed=Forecast(hits=("cherry",), misses=("damson",), surprises=()),
            broken=Forecast(hits=(), misses=("apple",), surprises=("banana",)),
        )
        assert lab.predicted(run.id) == found == lab.experiments()[1].prediction

        edit(workspace, "apple", "banana", "damson")
        run = await lab.start_suite("Add the damson", ["damson"])
        await lab.wait(run.id, 20)
        await lab.keep(REFLECTION)
        text = (await lab.brief()).text
        assert (
            "Your predictions, in 2 runs, too few to judge you by: of 3 tasks expected to become solved 2 did; "
            "of 2 that became solved 2 were expected; of 1 task expected to break 0 did; "
            "of 1 that broke 0 were expected."
        ) in text
    async with opened(workspace) as lab:
        assert lab.predicted("0002") == found
        assert lab.experiments()[1].kind_of_change == (ChangeKind.PROMPT,)
        assert (await lab.brief()).text == text


async def test_a_run_keeps_the_prediction_it_began_with(workspace: Workspace) -> None:
    first = Prediction(fixed=("cherry",))
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        fake.hold()
        edit(workspace, "apple", "banana", "cherry")
        run = await lab.start_suite("Add the cherry", ["cherry"])
        await fake.started.wait()
        assert (await lab.start_suite("Add the cherry", ["damson"])).prediction == first
        assert (await lab.cancel(run.id)).state is RunState.CANCELLED
        assert lab.predicted(run.id) is None
    async with opened(workspace) as lab:
        again = await lab.start_suite("Add the cherry", ["damson"])
        assert (again.id, again.prediction) == (run.id, first)
        done = await lab.wait(run.id, 20)
        assert (done.state, done.prediction) == (RunState.COMPLETE, first)
        assert (await lab.start_suite("Add the cherry", ["damson"])).prediction == first
        found = lab.predicted(run.id)
    assert found is not None
    assert found.fixed == Forecast(hits=("cherry",), misses=(), surprises=())


async def test_of_unknown_tasks_nothing_is_expected_and_a_crash_says_nothing(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, "crashes")
        for fixed, broken in (("cherri",), ()), ((), ("cherri",)):
            with pytest.raises(UnknownNameError, match=r"no task named 'cherri'\..*cherry"):
                await lab.start_suite("Guess", fixed, broken)
        assert len(lab.experiments()) == 1
        run = await lab.start_suite("Crash", ["cherry"], ["apple"])
        await lab.wait(run.id, 20)
        assert lab.predicted(run.id) is None
        assert "Your predictions" not in (await lab.brief()).text
