"""Hidden tasks beside the rest of a lab: no keep goes past them, and no list tells of them."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskStatus
from support.labs import REFLECTION, FakeMeasure, HoldsHidden, edit, make_lab_workspace, measured, opened
from support.workspaces import ANSWER_TASK, commit_all, write_tree

from autoagent_mcp import config as config_file
from autoagent_mcp.errors import DecisionRefused, UnknownNameError
from autoagent_mcp.experiment.hidden import open_hidden
from autoagent_mcp.experiment.lab import Lab
from autoagent_mcp.models.experiment import Outcome
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.workspace import Workspace

SETTINGS = '[run]\nbackend = "bubblewrap"\n[decision]\nrule = "evidence"\n[split]\n'


def made(folder: Path, split: str) -> Workspace:
    """Make a workspace of whose tasks one passes."""
    workspace = make_lab_workspace(folder / "work", "apple")
    write_tree(folder / "aside" / "zyxomma", ANSWER_TASK)
    (workspace.folder / "autoagent.toml").write_text(SETTINGS + split, encoding="utf-8")
    commit_all(workspace.folder)
    return workspace


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the tests measure apart."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


async def asked(lab: Lab) -> Run:
    """Ask to keep the harness as it is."""
    run = (await lab.keep(REFLECTION)).run
    assert run is not None
    return run


async def test_who_cancels_while_the_hidden_tasks_have_their_say_keeps_nothing(tmp_path: Path) -> None:
    workspace = made(tmp_path, "hidden_dir = '../aside'\n")
    fake = HoldsHidden()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        edit(workspace, "apple", "banana", "cherry", "damson")
        await measured(lab)
        run = await asked(lab)
        await fake.asked_hidden.wait()
        assert (await lab.run(run.id)).state is RunState.RUNNING
        await lab.cancel(run.id)
        assert lab.experiments()[1].judgement is None
        fake.asked_hidden = anyio.Event()
        run = await asked(lab)
        await fake.asked_hidden.wait()
    async with opened(workspace, fake) as lab:
        assert lab.experiments()[1].decision is None
        fake.may_go_on.set()
        await lab.wait((await asked(lab)).id, 20)
        judgement = lab.experiments()[1].judgement
    assert judgement is not None
    assert judgement.outcome is Outcome.PROVISIONAL


async def test_a_gain_that_the_hidden_tasks_do_not_see_is_refused_and_costs_no_score(tmp_path: Path) -> None:
    workspace = made(tmp_path, "hidden_dir = '../aside'\n")
    async with open_bench(workspace, config_file.load(workspace.folder)) as bench:
        hidden = await open_hidden(bench)
        assert hidden is not None
        (task,) = hidden.tasks
    edit(workspace, "apple", task.name)
    commit_all(workspace.folder)
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, "apple", "banana", "cherry", "damson")
        await measured(lab)
        run = await lab.wait((await asked(lab)).id, 20)
        judgement = lab.experiments()[1].judgement
    assert judgement is not None
    assert judgement.outcome is Outcome.REFUSED
    assert "hidden" in judgement.reason
    assert judgement.trials == len(run.trials) == 8
    assert judgement.cost_usd == 8 * 0.25


async def test_a_fraction_is_in_no_list_and_no_offer(tmp_path: Path) -> None:
    workspace = made(tmp_path, "hidden_fraction = 0.5\n")
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        run = await measured(lab)
        listed, excluded = await lab.tasks()
        shown = {history.task.name for history in listed}
        out_of_sight = {"apple", "banana", "cherry", "damson"} - shown
        assert out_of_sight
        with pytest.raises(UnknownNameError) as refusal:
            await lab.start_spot([min(out_of_sight)], attempts=1, description="Is it there?")
        brief = await lab.brief()
    assert set(run.suite.tasks) == shown == {trial.task for trial in run.trials}
    assert excluded == ()
    offer = str(refusal.value).split("The nearest", 1)[1]
    assert not [name for name in out_of_sight if name in offer]
    assert "in name only" in brief.text
    assert not [name for name in out_of_sight if name in brief.model_dump_json()]


async def test_a_server_that_takes_over_counts_what_the_other_spent_on_hidden_tasks(tmp_path: Path) -> None:
    split = "hidden_dir = '../aside'\n[budget]\nmax_cost_usd = 6.5\n"  # visible trials cost 6, hidden ones 1
    workspace = made(tmp_path, split)
    gone = anyio.Event()

    async def work(*, task_status: TaskStatus[Lab]) -> None:
        async with opened(workspace) as first:
            await measured(first)
            task_status.started(first)
            await gone.wait()

    async with anyio.create_task_group() as group:
        first: Lab = await group.start(work)
        async with opened(workspace) as second:
            edit(workspace, "apple", "banana", "cherry", "damson")
            await measured(first)
            await first.wait((await asked(first)).id, 20)
            gone.set()
            with anyio.fail_after(20):
                while not second.is_writing:  # noqa: ASYNC110 - it takes over by itself, and tells nobody
                    await anyio.sleep(0.01)
            edit(workspace, "apple", "banana", "cherry", "damson", extra="\nN = 1")
            with pytest.raises(DecisionRefused, match="budget"):
                await measured(second)
