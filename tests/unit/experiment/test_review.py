"""A review of what was kept for good: a measure of fixed size that decides nothing, with the hidden tasks apart."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from support.labs import REFLECTION, FakeMeasure, HoldsHidden, agent_py, edit, measured, opened
from support.workspaces import ANSWER_TASK, commit_all, git, make_workspace, write_tree

from autoagent_mcp import config as config_file
from autoagent_mcp.errors import DecisionRefused
from autoagent_mcp.experiment.belief import believed, last_review
from autoagent_mcp.experiment.hidden import open_hidden
from autoagent_mcp.experiment.lab import Lab
from autoagent_mcp.models.experiment import Judgement, Outcome
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.report.reading import open_reading
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.workspace import Workspace

TASKS = tuple(f"t{number:02}" for number in range(20))
SETTINGS = '[run]\nbackend = "bubblewrap"\n[decision]\nrule = "seed"\n[split]\nhidden_dir = "../aside"\n'


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Make one of twenty tasks whose harness passes five, with one hidden task beside it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write_tree(tmp_path / "aside" / "zyxomma", ANSWER_TASK)
    tasks = dict.fromkeys(TASKS, ANSWER_TASK)
    program = {"program.md": f"The prompt may name {' '.join(TASKS)}.\n"}
    write_tree(tmp_path / "work", program)
    return make_workspace(tmp_path / "work", agent=agent_py(*TASKS[:5]), tasks=tasks, settings=SETTINGS)


async def hidden_name(workspace: Workspace) -> str:
    """Return the name by which the hidden task is measured."""
    async with open_bench(workspace, config_file.load(workspace.folder)) as bench:
        hidden = await open_hidden(bench)
    assert hidden is not None
    return hidden.tasks[0].name


async def keep(lab: Lab, workspace: Workspace, *solves: str) -> None:
    edit(workspace, *solves)
    await measured(lab, f"Solve {len(solves)}")
    await lab.keep(REFLECTION, "What the tasks have in common stands in program.md.")


async def reviewed(lab: Lab, rounds: int) -> tuple[Run, Judgement]:
    run = await lab.review(rounds)
    with anyio.fail_after(20):
        run = await lab.wait(run.id, 20)
    judgement = lab.judgement(run.id)
    assert judgement is not None
    return run, judgement


async def test_what_was_kept_for_good_is_measured_in_all_rounds_and_asked_again_in_more(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        with pytest.raises(DecisionRefused, match="is the baseline itself"):
            await lab.review()
        await keep(lab, workspace, *TASKS[:15])
        head, one = git(workspace.folder, "rev-parse", "HEAD"), lab.incumbent()
        run, judgement = await reviewed(lab, 2)
        # After one round ten pairs are won and none is lost, which would have ended a test of a provisional keep.
        assert (len(run.trials), judgement.wins, judgement.losses, judgement.ties) == (80, 20, 0, 20)
        assert (judgement.outcome, judgement.difference_points, judgement.is_worse_on_hidden) == (
            Outcome.KEPT,
            50,
            False,
        )
        again, judgement = await reviewed(lab, 1)
        assert (again.id, len(again.trials), judgement.wins) == (run.id, 120, 30)
        assert one is not None
        assert lab.incumbent() == one.model_copy(update={"runs": (*one.runs, run.id)})
    async with opened(workspace, fake) as lab:
        assert len((await lab.run(run.id)).trials) == 120
        assert git(workspace.folder, "rev-parse", "HEAD") == head


async def test_a_baseline_that_is_better_afresh_is_told_and_rolls_nothing_back(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        await keep(lab, workspace, *TASKS[:15], "fraud")
        head = git(workspace.folder, "rev-parse", "HEAD")
        run, judgement = await reviewed(lab, 1)
        incumbent = lab.incumbent()
    assert (judgement.outcome, judgement.losses, git(workspace.folder, "rev-parse", "HEAD")) == (
        Outcome.REFUSED,
        5,
        head,
    )
    assert incumbent is not None
    assert incumbent.n == 1
    assert run.duel is not None
    assert (
        "better harness. It was kept for good before, so nothing was rolled back." in believed(judgement, run.duel)[0]
    )


async def test_of_the_hidden_tasks_a_person_sees_the_pairs_and_the_ledger_one_bit(workspace: Workspace) -> None:
    edit(workspace, *TASKS[:5], name := await hidden_name(workspace))
    commit_all(workspace.folder)
    async with opened(workspace) as lab:
        await measured(lab)
        await keep(lab, workspace, *TASKS[:15])
        run, judgement = await reviewed(lab, 1)
        pairs = await lab.hidden_pairs(run)
    assert pairs is not None
    assert (pairs.tasks, pairs.wins, pairs.losses, pairs.difference_points) == (1, 0, 2, -100)
    assert judgement.is_worse_on_hidden is True
    assert (judgement.outcome, "but not on the hidden tasks" in judgement.reason) == (Outcome.PROVISIONAL, True)
    assert all(name not in trial.id for trial in run.trials)
    async with open_reading(workspace) as reading:
        found = last_review(reading.book)
        assert reading.book.pending is None
    assert found is not None
    assert found.judgement == judgement


async def test_a_review_that_ended_before_the_hidden_tasks_had_their_say_lacks_only_that(workspace: Workspace) -> None:
    fake = HoldsHidden()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        await keep(lab, workspace, *TASKS[:15])
        run = await lab.review(2)
        await fake.asked_hidden.wait()
        await lab.cancel(run.id)
        assert lab.judgement(run.id) is None
        fake.may_go_on.set()
        again, judgement = await reviewed(lab, 2)
    assert (again.id, len(again.trials), judgement.is_worse_on_hidden) == (run.id, 80, False)


async def test_a_review_that_was_stopped_goes_on_where_it_was_and_is_not_made_longer(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        await keep(lab, workspace, *TASKS[:15])
        fake.hold()
        run = await lab.review(2)
        await fake.started.wait()
        run = await lab.cancel(run.id)
        assert (run.state, lab.judgement(run.id)) == (RunState.CANCELLED, None)
        fake.gate.set()
        again, judgement = await reviewed(lab, 4)
    assert (again.id, len(again.trials), judgement.wins) == (run.id, 80, 20)
