"""The lab: the loop of measuring, keeping and reverting, on real git and a real ledger."""

from __future__ import annotations

import anyio
import pytest
from support.labs import REFLECTION, TASKS, FakeMeasure, agent_py, edit, measured, opened
from support.workspaces import git

from autoagent_mcp.accept import accept, waiting
from autoagent_mcp.errors import (
    BusyError,
    DecisionRefused,
    HarnessError,
    NotComparableError,
    RepoError,
    TaskError,
    UnknownNameError,
)
from autoagent_mcp.models.experiment import Decision
from autoagent_mcp.models.run import RunKind, RunState
from autoagent_mcp.workspace import Workspace


def results(workspace: Workspace) -> list[dict[str, str]]:
    header, *rows = workspace.results.read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split("\t"), row.split("\t"), strict=True)) for row in rows]


async def test_the_first_run_is_the_baseline_and_becomes_the_incumbent(workspace: Workspace) -> None:
    head = git(workspace.folder, "rev-parse", "HEAD")
    async with opened(workspace) as lab:
        run = await measured(lab, "The unmodified\tbaseline\nof all")
        incumbent = lab.incumbent()

    assert (run.id, run.state, run.kind) == ("0001", RunState.COMPLETE, RunKind.SUITE)
    assert incumbent is not None
    assert (incumbent.n, incumbent.decision, incumbent.kept_commit) == (0, Decision.KEEP, head)
    assert incumbent.score is not None
    assert incumbent.score.passed == 2
    assert git(workspace.folder, "rev-parse", "HEAD") == head
    assert git(workspace.folder, "status", "--porcelain") == ""
    assert results(workspace) == [
        {
            "commit": head[:7],
            "avg_score": "0.5000",
            "passed": "2/4",
            "task_scores": '{"apple": 1.0, "banana": 1.0, "cherry": 0.0, "damson": 0.0}',
            "cost_usd": "1.0000",
            "status": "keep",
            "description": "The unmodified baseline of all",
        }
    ]


async def test_the_baseline_is_what_is_committed_and_nothing_else(workspace: Workspace) -> None:
    edit(workspace, "apple")
    async with opened(workspace) as lab:
        with pytest.raises(RepoError, match="unmodified baseline"):
            await lab.start_suite("Skip the baseline")
        assert lab.experiments() == []


async def test_an_improvement_is_kept_as_a_commit_that_tells_how_much(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, "apple", "banana", "cherry")
        run = await measured(lab, "Name the cherry")
        assert await lab.comparison(run) is not None
        assert "keep_change" in await lab.next_step(run)
        kept = (await lab.keep(REFLECTION)).experiment

    assert (kept.n, kept.decision, kept.reflection) == (1, Decision.KEEP, REFLECTION)
    assert git(workspace.folder, "rev-parse", "HEAD") == kept.kept_commit
    assert git(workspace.folder, "status", "--porcelain") == ""
    message = git(workspace.folder, "log", "-1", "--format=%B")
    assert message.startswith("Name the cherry\n\nPassed 3 of 4 trials, before 2;")
    assert "Solved: cherry. Broken: none." in message
    assert REFLECTION in message
    assert [row["status"] for row in results(workspace)] == ["keep", "keep"]


async def test_a_change_for_the_worse_is_refused_and_reverted_and_stays_reachable(workspace: Workspace) -> None:
    before = workspace.agent.read_bytes()
    head = git(workspace.folder, "rev-parse", "HEAD")
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, "apple")
        worse = workspace.agent.read_text(encoding="utf-8")
        run = await measured(lab, "Forget the banana")
        assert "revert_change" in await lab.next_step(run)
        with pytest.raises(DecisionRefused, match="Fewer trials passed: 1, before 2"):
            await lab.keep(REFLECTION)
        reverted = await lab.revert("Bananas matter")

    assert (reverted.n, reverted.decision, reverted.reason) == (1, Decision.REVERT, "Bananas matter")
    assert workspace.agent.read_bytes() == before
    assert git(workspace.folder, "rev-parse", "HEAD") == head
    assert git(workspace.folder, "show", "refs/autoagent/experiments/1:agent.py") == worse.rstrip("\n")
    row = results(workspace)[1]
    assert (row["status"], row["description"]) == ("discard", "Forget the banana (Bananas matter)")


async def test_as_many_passed_is_kept_only_with_a_simpler_harness(workspace: Workspace) -> None:
    edit(workspace, "apple", "banana", extra="\nTABLE = {1: [2, 3], 4: [5, 6]}")
    git(workspace.folder, "commit", "-qam", "A baseline with more in it")
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, "banana", "cherry", extra="\nTABLE = {1: [2, 3], 4: [5, 6], 7: [8, 9]}")
        await measured(lab, "Grow")
        with pytest.raises(DecisionRefused, match="not simpler"):
            await lab.keep(REFLECTION)
        edit(workspace, "apple", "banana")
        await measured(lab, "Shrink")
        kept = (await lab.keep(REFLECTION)).experiment
    assert (kept.description, kept.decision) == ("Shrink", Decision.KEEP)


async def test_what_is_measured_is_the_snapshot_and_an_edited_file_is_stale(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        fake.hold()
        edit(workspace, "apple", "banana", "cherry")
        run = await lab.start_suite("Add the cherry")
        edit(workspace, *TASKS)
        fake.gate.set()
        done = await lab.wait(run.id, 20)
        assert sum(trial.passed for trial in done.trials) == 3
        with pytest.raises(DecisionRefused, match="never measured"):
            await lab.keep(REFLECTION)
    assert workspace.agent.read_text(encoding="utf-8") == agent_py(*TASKS)


async def test_the_same_candidate_is_measured_once_also_with_other_comments(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        first = await measured(lab)
        edit(workspace, "apple", "banana", extra="\n# a comment changes nothing")
        again = await measured(lab, "Once more with luck")
    assert again == first
    assert len(fake.requests) == 1


async def test_a_kept_change_is_committed_with_the_comments_it_was_given_later(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, *TASKS)
        await measured(lab, "All")
        edit(workspace, *TASKS, extra="  # all of them")
        await lab.keep(REFLECTION)
    assert git(workspace.folder, "status", "--porcelain") == ""
    assert "# all of them" in git(workspace.folder, "show", "HEAD:agent.py")


async def test_one_run_at_a_time_and_the_same_one_for_the_same_candidate(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        fake.hold()
        edit(workspace, "apple")
        run = await lab.start_suite("One")
        assert run.state is RunState.RUNNING
        assert (await lab.start_suite("One, asked again")).id == run.id
        with pytest.raises(DecisionRefused, match=f"Run {run.id} of this change still goes on"):
            await lab.revert("Impatient")
        edit(workspace, "banana")
        with pytest.raises(BusyError, match=f"Run {run.id} still goes on"):
            await lab.start_suite("Another")
        assert [one.n for one in lab.experiments()] == [0, 1]
        await fake.started.wait()
        assert (await lab.wait(run.id, 0)).state is RunState.RUNNING
        assert (await lab.progress(run.id)).total == 4
        fake.gate.set()
        assert (await lab.wait(run.id, 20)).state is RunState.COMPLETE
        assert (await lab.progress(run.id)).done == 4


async def test_a_client_that_goes_away_cancels_nothing(workspace: Workspace) -> None:
    fake = FakeMeasure()
    fake.hold()
    async with opened(workspace, fake) as lab:
        run = await lab.start_suite("Baseline")
        with anyio.move_on_after(0.01) as gone:
            await lab.wait(run.id, 100)
        assert gone.cancelled_caught
        fake.gate.set()
        assert (await lab.wait(run.id, 20)).state is RunState.COMPLETE


async def test_a_cancelled_run_cannot_be_kept_and_is_taken_up_again_under_its_id(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        fake.hold()
        edit(workspace, *TASKS)
        run = await lab.start_suite("All")
        await fake.started.wait()
        assert (await lab.cancel(run.id)).state is RunState.CANCELLED
        assert (await lab.cancel(run.id)).state is RunState.CANCELLED
        with pytest.raises(DecisionRefused, match="is cancelled and cannot decide"):
            await lab.keep(REFLECTION)
        fake.gate.set()
        again = await measured(lab, "All, once more")
        assert (again.id, again.state, again.description) == (run.id, RunState.COMPLETE, "All")
        assert (await lab.keep(REFLECTION)).experiment.runs == (run.id,)


async def test_a_run_with_trials_that_measured_nothing_decides_nothing_until_they_are_run_again(
    workspace: Workspace,
) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, *TASKS, "lost")
        run = await measured(lab, "All, with a lost sandbox")
        with pytest.raises(DecisionRefused, match="1 of its trials measured nothing"):
            await lab.keep(REFLECTION)
        again = await measured(lab)
        assert again.id == run.id
        assert (await lab.keep(REFLECTION)).experiment.decision is Decision.KEEP
        histories, _ = await lab.tasks()
    assert [(one.task.name, one.passed, one.attempts) for one in histories] == [
        ("apple", 2, 2),
        ("banana", 2, 2),
        ("cherry", 1, 2),
        ("damson", 1, 2),
    ]
    assert [one.avg_cost_usd for one in histories] == [0.25] * 4


async def test_a_baseline_whose_run_lost_a_trial_is_not_the_incumbent_yet(workspace: Workspace) -> None:
    edit(workspace, "apple", "lost")
    git(workspace.folder, "commit", "-qam", "Lose a sandbox")
    async with opened(workspace) as lab:
        await measured(lab)
        assert lab.incumbent() is None
        await measured(lab)
        assert lab.incumbent() is not None


async def test_runs_on_different_tasks_are_not_compared(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        (workspace.folder / "tasks" / "apple" / "instruction.md").write_text("Harder.\n", encoding="utf-8")
        edit(workspace, *TASKS)
        run = await measured(lab, "All")
        assert await lab.comparison(run) is None
        with pytest.raises(DecisionRefused, match="tasks apple"):
            await lab.keep(REFLECTION)
        accept(workspace, await waiting(workspace))
        with pytest.raises(NotComparableError, match="measured other tasks"):
            await lab.keep(REFLECTION)
        await lab.revert("The tasks were changed")
        assert (await measured(lab)).id != "0001"
        edit(workspace, *TASKS)
        assert (await measured(lab)).id == run.id
        assert (await lab.keep(REFLECTION)).experiment.decision is Decision.KEEP


async def test_keep_and_revert_may_be_called_again(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, *TASKS)
        await measured(lab, "All")
        kept = (await lab.keep(REFLECTION)).experiment
        assert (await lab.keep("Asked again")).experiment == kept
        head = git(workspace.folder, "rev-parse", "HEAD")
        assert (await lab.revert("Nothing to take back")) == kept
        edit(workspace, "apple")
        await measured(lab, "Less")
        reverted = await lab.revert("Less is less")
        assert await lab.revert("Less is less") == reverted
        assert (await lab.keep(REFLECTION)).experiment == kept
        assert git(workspace.folder, "rev-parse", "HEAD") == head
        assert lab.experiments() == [lab.experiments()[0], kept, reverted]


async def test_what_was_never_measured_is_safe_in_git_before_it_is_reverted(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        workspace.agent.write_text("this is no python (\n", encoding="utf-8")
        (workspace.folder / ".agent").mkdir()
        (workspace.folder / ".agent" / "idea.md").write_text("precious", encoding="utf-8")
        reverted = await lab.revert("Did not even parse")
        assert (reverted.n, reverted.decision) == (1, Decision.REVERT)
    assert workspace.agent.read_text(encoding="utf-8") == agent_py("apple", "banana")
    assert not (workspace.folder / ".agent").exists()
    assert git(workspace.folder, "show", "refs/autoagent/experiments/1:.agent/idea.md") == "precious"


async def test_comments_that_a_revert_takes_away_are_safe_in_git(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, "apple", "banana", extra="\n# a thought")
        await lab.revert("Only a thought")
    assert workspace.agent.read_text(encoding="utf-8") == agent_py("apple", "banana")
    assert "# a thought" in git(workspace.folder, "show", "refs/autoagent/experiments/0:agent.py")


async def test_a_change_that_was_taken_back_by_hand_still_takes_its_lesson(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, "apple")
        await measured(lab, "Less")
        git(workspace.folder, "checkout", "-q", "--", "agent.py")
        reverted = await lab.revert("Less is less")
    assert (reverted.n, reverted.decision, reverted.reason) == (1, Decision.REVERT, "Less is less")


@pytest.mark.parametrize("how", ["crashes", "unimportable"])
async def test_a_harness_that_only_crashes_is_a_crash_in_the_ledger(workspace: Workspace, how: str) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, how)
        await measured(lab, "Break it")
        with pytest.raises(DecisionRefused, match="no improvement"):
            await lab.keep(REFLECTION)
        assert results(workspace)[1]["status"] == "crash"
        assert (await lab.revert("It crashed")).decision is Decision.CRASH
    assert results(workspace)[1]["status"] == "crash"


async def test_a_spot_check_condemns_but_never_keeps(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        with pytest.raises(DecisionRefused, match="no baseline"):
            await lab.start_spot(["apple"], attempts=1, description="Too early")
        await measured(lab)
        edit(workspace, *TASKS)
        run = await lab.start_spot(["cherry", "apple"], attempts=2, description="Look")
        run = await lab.wait(run.id, 20)
        assert (run.kind, [trial.id for trial in run.trials]) == (
            RunKind.SPOT,
            ["apple__1", "apple__2", "cherry__1", "cherry__2"],
        )
        comparison = await lab.comparison(run)
        assert comparison is not None
        assert (comparison.solved, comparison.broken) == (("cherry",), ())
        with pytest.raises(DecisionRefused, match="only spot-checked"):
            await lab.keep(REFLECTION)
        again = await lab.start_spot(["apple", "cherry"], attempts=2, description="Look again")
        assert again.id == run.id
        assert [one.n for one in lab.experiments()] == [0, 1]
        await measured(lab, "Now the suite")
        assert (await lab.keep(REFLECTION)).experiment.n == 1


async def test_unknown_names_are_answered_with_the_nearest(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        with pytest.raises(UnknownNameError, match="banana"):
            await lab.start_spot(["bananna"], attempts=1, description="Typo")
        for name in ("../../etc", "0002", "/0001", "0001/../0001"):
            with pytest.raises(UnknownNameError, match="0001"):
                await lab.run(name)
        with pytest.raises(UnknownNameError, match="apple__1"):
            await lab.trial("0001", "../apple__1")


async def test_a_task_that_cannot_run_here_is_refused_with_its_reason(workspace: Workspace) -> None:
    dockerfile = workspace.folder / "tasks" / "apple" / "environment" / "Dockerfile"
    dockerfile.write_text("FROM debian\nRUN apt-get update\n", encoding="utf-8")
    async with opened(workspace) as lab:
        run = await measured(lab)
        assert run.suite.tasks == ("banana", "cherry", "damson")
        with pytest.raises(TaskError, match="RUN"):
            await lab.start_spot(["apple"], attempts=1, description="Try")
        _, excluded = await lab.tasks()
        assert [one.task for one in excluded] == ["apple"]


async def test_a_harness_that_may_not_be_measured_leaves_no_experiment(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        text = workspace.agent.read_text(encoding="utf-8")
        workspace.agent.write_text(text + "\nprint('below the boundary')\n", encoding="utf-8")
        with pytest.raises(HarnessError, match="boundary"):
            await lab.start_suite("Cheat")
        assert len(lab.experiments()) == 1
        assert "boundary" in (await lab.brief()).text


async def test_the_brief_says_where_we_are_and_what_is_next(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        assert "run_suite" in (await lab.brief()).next
        await measured(lab)
        brief = await lab.brief()
        assert "of so many trials):\n- wrong answer by the verifier: cherry 1 of 1, damson 1 of 1" in brief.text
        assert "edit agent.py" in brief.next
        edit(workspace, "apple")
        assert "spot_check" in (await lab.brief()).next
        await measured(lab, "Forget the banana")
        assert "revert_change" in (await lab.brief()).next
        await lab.revert("Bananas matter")
        brief = await lab.brief()
        assert "- 1 (prompt): Bananas matter" in brief.text
        assert "- 1 (prompt) revert, 1 of 4 trials passed, average reward 0.250: Forget the banana" in brief.text
        assert await lab.brief() == brief
