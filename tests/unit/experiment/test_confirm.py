"""Keeping by evidence: a change beside the incumbent in fresh trials, on real git and a real ledger."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from support.labs import REFLECTION, FakeMeasure, agent_py, edit, measured, opened
from support.workspaces import ANSWER_TASK, git, make_workspace, write_tree

from autoagent_mcp.errors import DecisionRefused
from autoagent_mcp.experiment.lab import Lab
from autoagent_mcp.models.experiment import Asked, Decision, Experiment, Outcome
from autoagent_mcp.models.run import Run, RunKind, RunState
from autoagent_mcp.workspace import Workspace

TASKS = tuple(f"t{number:02}" for number in range(20))
EVIDENCE = '[decision]\nrule = "evidence"\n'


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Make one of twenty tasks whose harness passes five."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return made(tmp_path / "work", TASKS, *TASKS[:5])


def made(folder: Path, tasks: tuple[str, ...], *solves: str, extra: str = "", settings: str = EVIDENCE) -> Workspace:
    write_tree(folder, {"program.md": f"The prompt may name {' '.join(TASKS)}.\n"})
    return make_workspace(
        folder, agent=agent_py(*solves, extra=extra), tasks=dict.fromkeys(tasks, ANSWER_TASK), settings=settings
    )


async def ended(lab: Lab, run: Run | None) -> Run:
    assert run is not None
    with anyio.fail_after(20):
        return await lab.wait(run.id, 20)


async def asked(lab: Lab, workspace: Workspace, *solves: str, extra: str = "") -> Asked:
    """Edit, measure and ask to keep."""
    edit(workspace, *solves, extra=extra)
    await measured(lab, f"Solve {' '.join(solves)}")
    return await lab.keep(REFLECTION)


async def kept(lab: Lab, workspace: Workspace, *solves: str, extra: str = "") -> Experiment:
    """Edit, measure, ask to keep and wait for the verdict."""
    answer = await asked(lab, workspace, *solves, extra=extra)
    await ended(lab, answer.run)
    return lab.experiments()[answer.experiment.n]


def head(workspace: Workspace) -> str:
    return git(workspace.folder, "rev-parse", "HEAD")


def statuses(workspace: Workspace) -> list[tuple[str, str, str]]:
    rows = [line.split("\t") for line in workspace.results.read_text(encoding="utf-8").splitlines()[1:]]
    return [(row[2], row[5], row[6]) for row in rows]


async def test_a_real_gain_is_kept_with_a_score_of_fresh_runs_alone(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        # Its first run passes 16; afresh it passes 15.
        one = await kept(lab, workspace, *TASKS[:15], "t15_3")
        run = await lab.run(one.runs[-1])

    assert one.judgement is not None
    assert (one.judgement.outcome, one.judgement.wins, one.judgement.losses) == (Outcome.KEPT, 10, 0)
    assert one.judgement.difference_points == 50
    assert one.judgement.low_points > 20
    assert one.judgement.trials == 80 == len(run.trials)
    assert one.judgement.cost_usd == 20
    assert (one.decision, one.is_provisional, one.reflection) == (Decision.KEEP, False, REFLECTION)
    assert one.score is not None
    assert (one.score.passed, one.score.trials) == (30, 40)
    assert head(workspace) == one.kept_commit
    assert "Kept: +50.0 points" in git(workspace.folder, "log", "-1", "--format=%B")
    assert git(workspace.folder, "status", "--porcelain") == ""
    assert statuses(workspace)[1][:2] == ("30/40", "keep")


async def test_a_first_run_that_is_no_better_costs_nothing_more(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        with pytest.raises(DecisionRefused, match="No better in its first run: 5 passes in 20 trials"):
            await asked(lab, workspace, *TASKS[1:6])
    assert [request.kind for request in fake.requests] == [RunKind.SUITE, RunKind.SUITE]


async def test_a_lucky_first_run_is_refused_and_stays_refused(workspace: Workspace) -> None:
    before = head(workspace)
    fake = FakeMeasure()
    lucky = (
        *TASKS[:4],
        "t05_1",
        "t06_1",
        "t07_1",
    )  # better in its first attempt at each task, worse in every later one
    async with opened(workspace, fake) as lab:
        await measured(lab)
        one = await kept(lab, workspace, *lucky)
        assert one.judgement is not None
        assert one.judgement.outcome is Outcome.REFUSED
        runs = len(fake.requests)
        again = await lab.keep("It was bad luck, I should think.")
        assert (again.run, again.experiment.judgement) == (None, one.judgement)
        assert len(fake.requests) == runs
        assert "revert_change" in await lab.next_step(await lab.run(one.runs[0]))
        assert lab.incumbent() == lab.experiments()[0]
    assert head(workspace) == before
    assert statuses(workspace)[1][1] == "discard"
    assert "(refused)" in statuses(workspace)[1][2]


async def test_what_is_undecided_goes_on_from_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    workspace = made(tmp_path / "work", TASKS[:4], "t00", "t01")
    async with opened(workspace) as lab:
        await measured(lab)
        one = await kept(lab, workspace, "t00", "t01", "t02_1", "t02_2", "t02_5")
        assert one.judgement is not None
        assert (one.judgement.outcome, one.judgement.wins, one.judgement.trials) == (Outcome.UNDECIDED, 2, 32)
        assert one.decision is None
    async with opened(workspace) as lab:
        run = await ended(lab, (await lab.keep(REFLECTION)).run)
        two = lab.experiments()[1]
    assert run.id == one.runs[-1]
    assert two.judgement is not None
    assert (two.judgement.outcome, two.judgement.wins) == (Outcome.PROVISIONAL, 3)
    assert two.judgement.trials == 2 * 4 * 5 + 2 * 4
    assert "With so few visible tasks (4) no change of usual size can be proven" in two.judgement.reason
    assert two.decision is Decision.KEEP
    assert statuses(workspace)[1][1:] == ("keep", "Solve t00 t01 t02_1 t02_2 t02_5 (provisional)")


async def test_with_few_tasks_even_a_large_gain_is_provisional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    workspace = made(tmp_path / "work", TASKS[:19], "t00")
    async with opened(workspace) as lab:
        await measured(lab)
        one = await kept(lab, workspace, *TASKS[:19])
    assert one.judgement is not None
    assert one.judgement.evidence > 1000
    assert (one.judgement.outcome, one.is_provisional) == (Outcome.PROVISIONAL, True)


async def test_a_simpler_harness_that_is_no_worse_is_kept_and_one_that_is_worse_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    workspace = made(tmp_path / "work", TASKS, *TASKS[:8], extra="\nSPARE = [1, 2, 3]")
    async with opened(workspace) as lab:
        await measured(lab)
        # One task less in its first attempts is within the margin; in the later ones it loses three.
        worse = await kept(lab, workspace, *TASKS[:5], "t05_1", "t06_1", "t07_1")
        assert worse.judgement is not None
        assert worse.judgement.outcome is Outcome.REFUSED
        one = await kept(lab, workspace, *TASKS[:8])
    assert one.judgement is not None
    assert (one.judgement.wins, one.judgement.losses) == (0, 0)
    assert one.decision is Decision.KEEP
    assert "no worse than the incumbent, and simpler" in one.reason


async def test_settled_tasks_are_paired_once_and_catch_what_broke(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        # The first duel makes the incumbent's second to fifth runs: after it most tasks are settled.
        await kept(lab, workspace, *TASKS[:4], "t05_1", "t06_1", "t07_1")
        one = await kept(lab, workspace, *TASKS[:12])
        run = await lab.run(one.runs[-1])
    assert one.decision is Decision.KEEP
    assert run.duel is not None
    assert run.duel.live == TASKS[5:12]
    assert run.duel.settled == (*TASKS[:5], *TASKS[12:])
    assert len(run.trials) == 2 * 7 + 2 * 13 + 2 * 20


async def test_comments_alone_are_refused_without_a_run(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        workspace.agent.write_text(f"# Better now.\n{agent_py(*TASKS[:5])}", encoding="utf-8")
        with pytest.raises(DecisionRefused, match="comments or layout alone"):
            await lab.keep(REFLECTION)
    assert len(fake.requests) == 1


async def test_a_confirm_run_can_be_cancelled_and_taken_up_again(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        edit(workspace, *TASKS[:15])
        await measured(lab, "More")
        fake.hold()
        run = (await lab.keep(REFLECTION)).run
        assert run is not None
        assert (run.kind, run.state) == (RunKind.CONFIRM, RunState.RUNNING)
        await fake.started.wait()
        assert (await lab.keep(REFLECTION)).run == run
        assert (await lab.cancel(run.id)).state is RunState.CANCELLED
        assert lab.judgement(run.id) is None
        assert "keep_change again" in await lab.next_step(await lab.run(run.id))
        fake.gate.set()
        again = await ended(lab, (await lab.keep(REFLECTION)).run)
        assert again.id == run.id
        assert lab.experiments()[1].decision is Decision.KEEP


async def test_a_confirm_run_that_ended_with_the_server_is_taken_up_by_the_next(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        edit(workspace, *TASKS[:15])
        await measured(lab, "More")
        fake.hold()
        run = (await lab.keep(REFLECTION)).run
        await fake.started.wait()
    async with opened(workspace) as lab:
        again = await ended(lab, (await lab.keep(REFLECTION)).run)
        assert run is not None
        assert again.id == run.id
        assert lab.experiments()[1].decision is Decision.KEEP


async def test_what_is_edited_meanwhile_stays_as_it_is(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        edit(workspace, *TASKS[:15])
        await measured(lab, "More")
        fake.hold()
        run = (await lab.keep(REFLECTION)).run
        await fake.started.wait()
        edit(workspace, "t19")
        fake.gate.set()
        await ended(lab, run)
        assert lab.experiments()[1].decision is Decision.KEEP
    assert workspace.agent.read_text(encoding="utf-8") == agent_py("t19")
    assert git(workspace.folder, "show", "HEAD:agent.py") == agent_py(*TASKS[:15]).strip()
    assert git(workspace.folder, "status", "--porcelain") == "M agent.py"


async def three_provisional_keeps(lab: Lab, fake: FakeMeasure, workspace: Workspace, *words: str) -> Run:
    """Keep three changes that each solve two tasks more, and wait for the review that follows."""
    for number in (7, 9, 11):
        one = await kept(lab, workspace, *TASKS[:number], *words)
        assert one.is_provisional
    with anyio.fail_after(20):
        await fake.reviewing.wait()
        return await lab.wait("0008", 20)


async def test_every_third_provisional_keep_the_champion_is_confirmed_beside_the_baseline(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        review = await three_provisional_keeps(lab, fake, workspace)
        judgement = lab.judgement(review.id)
        assert (review.kind, review.duel and review.duel.opponent) == (RunKind.REVIEW, 0)
        assert judgement is not None
        assert (judgement.outcome, judgement.wins) == (Outcome.KEPT, 12)
        assert lab.experiments()[3].is_provisional is False
        assert lab.incumbent() == lab.experiments()[3]


async def test_a_champion_that_the_baseline_beats_is_rolled_back(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        baseline = head(workspace)
        await three_provisional_keeps(lab, fake, workspace, "fraud")
        experiments = lab.experiments()
        incumbent = lab.incumbent()
    assert [one.decision for one in experiments] == [Decision.KEEP, *[Decision.REVERT] * 3]
    assert incumbent is not None
    assert (incumbent.n, incumbent.kept_commit) == (0, head(workspace))
    assert workspace.agent.read_text(encoding="utf-8") == agent_py(*TASKS[:5])
    assert git(workspace.folder, "rev-parse", "HEAD~4") == baseline
    assert git(workspace.folder, "status", "--porcelain") == ""
    assert git(workspace.folder, "log", "-1", "--format=%s") == "Roll back to experiment 0"
    assert [row[1] for row in statuses(workspace)] == ["keep", "discard", "discard", "discard"]
    assert "Rolled back to experiment 0. The baseline does better" in statuses(workspace)[3][2]


async def test_rewards_are_compared_where_the_settings_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    halves = tuple(f"{task}_half" for task in TASKS)
    workspace = made(tmp_path / "work", TASKS, settings=f'{EVIDENCE}counts = "reward"\n')
    async with opened(workspace) as lab:
        await measured(lab)
        one = await kept(lab, workspace, *halves)
    assert one.judgement is not None
    assert (one.judgement.outcome, one.judgement.wins, one.judgement.difference_points) == (Outcome.KEPT, 20, 50)
    assert one.score is not None
    assert (one.score.passed, one.score.avg_score) == (0, 0.5)
