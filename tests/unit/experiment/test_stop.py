"""A person says stop: the run under way ends with what it has, and nothing starts until that is taken back."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from support.labs import REFLECTION, TASKS, FakeMeasure, agent_py, edit, measured, opened
from support.workspaces import ANSWER_TASK, make_workspace

from autoagent_mcp.errors import DecisionRefused, SetupError
from autoagent_mcp.experiment.lab import Lab
from autoagent_mcp.models.experiment import Decision, Outcome
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.models.status import Status
from autoagent_mcp.stop import stop, undo
from autoagent_mcp.workspace import Workspace


async def ended(lab: Lab, run: Run) -> Run:
    with anyio.fail_after(20):
        return await lab.wait(run.id, 20)


async def status_where(workspace: Workspace, **wanted: object) -> Status:
    """Wait for a status in which that is so: it is written in the background."""
    with anyio.fail_after(20):
        while True:
            if workspace.status.exists():
                status = Status.model_validate_json(workspace.status.read_bytes())
                if all(getattr(status, name) == value for name, value in wanted.items()):
                    return status
            await anyio.sleep(0.01)


async def test_a_run_under_way_is_cut_and_goes_on_once_that_is_taken_back(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        edit(workspace, *TASKS)
        fake.hold()
        run = await lab.start_suite("All")
        await fake.started.wait()
        assert lab.done() == ""
        stop(workspace)
        run = await ended(lab, run)
        assert (run.state, "A person said stop" in run.error) == (RunState.CUT, True)
        assert "autoagent-mcp stop --undo" in lab.done()
        assert lab.notes() == (lab.done(),)
        brief = await lab.brief()
        assert (brief.next, lab.done() in brief.text) == (f"Done: {lab.done()}", True)
        fake.gate.set()
        for start in (lab.start_suite("All"), lab.start_spot(["apple"], attempts=1, description="One")):
            with pytest.raises(DecisionRefused, match="A person said stop"):
                await start
    async with opened(workspace, fake) as lab:
        assert lab.done()
        assert undo(workspace)
        assert not undo(workspace)
        again = await measured(lab, "All")
        assert (again.id, again.state, lab.done()) == (run.id, RunState.COMPLETE, "")
        assert (await lab.keep(REFLECTION)).experiment.decision is Decision.KEEP


async def test_a_confirm_run_that_is_stopped_is_undecided_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    tasks = tuple(f"t{number:02}" for number in range(20))
    workspace = make_workspace(
        tmp_path / "work",
        agent=agent_py(*tasks[:5]),
        tasks=dict.fromkeys(tasks, ANSWER_TASK),
        settings='[decision]\nrule = "evidence"\n',
    )
    workspace.program.write_text(" ".join(tasks), encoding="utf-8")
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        edit(workspace, *tasks)
        await measured(lab, "All")
        fake.hold()
        run = (await lab.keep(REFLECTION)).run
        assert run is not None
        await fake.started.wait()
        stop(workspace)
        await ended(lab, run)
        judgement = lab.judgement(run.id)
        assert judgement is not None
        assert (judgement.outcome, lab.experiments()[1].decision) == (Outcome.UNDECIDED, None)
        undo(workspace)
        fake.gate.set()
        again = (await lab.keep(REFLECTION)).run
        assert again is not None
        assert again.id == run.id
        await ended(lab, again)
        assert lab.experiments()[1].decision is Decision.KEEP


async def test_the_status_says_how_the_loop_stands_and_only_the_writing_server_says_it(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        first = await status_where(workspace, is_serving=True)
        assert (first.is_looping, first.experiments, first.incumbent, first.running) == (False, 0, None, None)
        assert "run_suite" in first.next
        await measured(lab)
        fake.hold()
        edit(workspace, *TASKS)
        run = await lab.start_suite("All")
        going = await status_where(workspace, running=run.id)
        assert (going.is_looping, going.incumbent, going.passed, going.trials) == (True, 0, 2, 4)
        assert going.next == f'Call wait_run(run="{run.id}").'
        assert going.spent_usd == 1.0
        async with opened(workspace) as reader:
            assert not reader.is_writing
            await reader.brief()
        assert (await status_where(workspace, running=run.id)).is_serving
        fake.gate.set()
        await ended(lab, run)
        await status_where(workspace, running=None)
        stop(workspace)
        stopped = await status_where(workspace, done=lab.done())
        assert stopped.next.startswith("Done: A person said stop")
        undo(workspace)
        await status_where(workspace, done="")
    last = Status.model_validate_json(workspace.status.read_bytes())
    assert (last.is_serving, last.running, last.experiments) == (False, None, 2)
    async with opened(workspace):
        assert not (await status_where(workspace, is_serving=True)).is_looping


def test_a_word_that_cannot_be_written_or_taken_back_is_told(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, agent=agent_py("x"))
    workspace.stop.mkdir(parents=True)
    for order in (stop, undo):
        with pytest.raises(SetupError, match=r"/stop cannot be (written|removed): "):
            order(workspace)
