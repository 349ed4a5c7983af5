"""Keeping by evidence when things go wrong: kills, rollbacks, trials that measure nothing, and hands from outside."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from support.labs import REFLECTION, FakeMeasure, agent_py, edit, measured, opened
from support.workspaces import ANSWER_TASK, commit_all, git, make_workspace, write_tree

from autoagent_mcp.errors import DecisionRefused
from autoagent_mcp.experiment.book import DECIDED, JUDGED
from autoagent_mcp.experiment.lab import Lab
from autoagent_mcp.ledger import Ledger
from autoagent_mcp.models.experiment import Decided, Decision, Experiment, Judged, Judgement, Outcome
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.models.trial import Arm, Failure, FailureCause
from autoagent_mcp.run.bench import Bench
from autoagent_mcp.run.run import Report, RunRequest
from autoagent_mcp.workspace import Workspace

TASKS = tuple(f"t{number:02}" for number in range(20))
UNSOLVABLE = {**ANSWER_TASK, "task.toml": f"{ANSWER_TASK['task.toml']}[metadata]\nimpossible = true\n"}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Make one of twenty tasks whose harness passes five."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return made(tmp_path / "work", TASKS, *TASKS[:5])


def made(folder: Path, tasks: tuple[str, ...], *solves: str) -> Workspace:
    write_tree(folder, {"program.md": f"The prompt may name {' '.join(TASKS)}.\n"})
    content = {name: UNSOLVABLE if name == "never" else ANSWER_TASK for name in tasks}
    return make_workspace(folder, agent=agent_py(*solves), tasks=content, settings='[decision]\nrule = "evidence"\n')


async def asked(lab: Lab, workspace: Workspace, *solves: str) -> Run:
    """Edit, measure, ask to keep and return the run that decides."""
    edit(workspace, *solves)
    await measured(lab, f"Solve {' '.join(solves)}")
    run = (await lab.keep(REFLECTION)).run
    assert run is not None
    return run


async def ended(lab: Lab, run_id: str) -> Run:
    with anyio.fail_after(20):
        return await lab.wait(run_id, 20)


async def kept(lab: Lab, workspace: Workspace, *solves: str) -> Experiment:
    """Edit, measure, ask to keep and wait for the verdict."""
    run = await asked(lab, workspace, *solves)
    await ended(lab, run.id)
    return next(one for one in lab.experiments() if run.id in one.runs)


async def reviewed(lab: Lab, fake: FakeMeasure, run_id: str) -> Judgement:
    with anyio.fail_after(20):
        await fake.reviewing.wait()
    await ended(lab, run_id)
    judgement = lab.judgement(run_id)
    assert judgement is not None
    return judgement


def judged(run_id: str, outcome: Outcome) -> Judged:
    values = dict.fromkeys(("evidence", "difference_points", "low_points", "high_points"), 9.0)
    counts = {"wins": 9, "losses": 0, "ties": 0, "trials": 9, "cost_usd": 1.0, "smallest_effect_points": 30.0}
    return Judged(
        run=run_id, judgement=Judgement.model_validate({"outcome": outcome, "reason": "So it is.", **values, **counts})
    )


async def killed_once_judged(workspace: Workspace, run_id: str, outcome: Outcome, then: Decision | None = None) -> None:
    """Leave the ledger as a server does that could not carry a judgement out: it was killed, or git hindered it."""
    ledger = await Ledger.open(workspace)
    try:
        assert await ledger.take_over()
        await ledger.append(JUDGED, judged(run_id, outcome))
        if then is not None:
            await ledger.append(DECIDED, Decided(experiment=1, decision=then, reason="I do not want it."))
    finally:
        await ledger.close()


async def broken_off(lab: Lab, fake: FakeMeasure, run: Run) -> None:
    await fake.started.wait()
    await lab.cancel(run.id)


async def test_what_was_judged_before_a_kill_is_kept_by_the_next_server(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        edit(workspace, *TASKS[:15])
        await measured(lab)
        fake.hold()
        run = (await lab.keep(REFLECTION)).run
        assert run is not None
        await broken_off(lab, fake, run)
    await killed_once_judged(workspace, run.id, Outcome.KEPT)
    edit(workspace, "t19")
    async with opened(workspace) as lab:
        one = lab.experiments()[1]
        assert (one.decision, one.reason, one.kept_commit) == (
            Decision.KEEP,
            "So it is.",
            git(workspace.folder, "rev-parse", "HEAD"),
        )
    assert git(workspace.folder, "show", "HEAD:agent.py") == agent_py(*TASKS[:15]).strip()
    assert workspace.agent.read_text(encoding="utf-8") == agent_py("t19")


async def test_what_was_judged_and_then_reverted_by_the_client_is_not_kept_by_the_next_server(
    workspace: Workspace,
) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        edit(workspace, *TASKS[:15])
        await measured(lab)
        fake.hold()
        run = (await lab.keep(REFLECTION)).run
        assert run is not None
        await broken_off(lab, fake, run)
    await killed_once_judged(workspace, run.id, Outcome.KEPT, then=Decision.REVERT)
    async with opened(workspace) as lab:
        assert lab.experiments()[1].decision is Decision.REVERT


async def test_a_rollback_that_a_kill_broke_off_is_carried_out_by_the_next_server(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        assert (await kept(lab, workspace, *TASKS[:7])).is_provisional
        fake.hold()
        run = await lab.review()
        await broken_off(lab, fake, run)
    await killed_once_judged(workspace, run.id, Outcome.REFUSED)
    async with opened(workspace) as lab:
        incumbent = lab.incumbent()
        assert incumbent is not None
        assert (incumbent.n, lab.experiments()[1].decision) == (0, Decision.REVERT)
    assert workspace.agent.read_text(encoding="utf-8") == agent_py(*TASKS[:5])
    assert git(workspace.folder, "log", "-1", "--format=%s") == "Roll back to experiment 0"


async def test_a_champion_that_was_rolled_back_is_not_kept_again_by_what_it_showed_before(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        await kept(lab, workspace, *TASKS[:7], "fraud")
        review = await lab.review()
        assert (await reviewed(lab, fake, review.id)).outcome is Outcome.REFUSED
        runs = len(fake.requests)
        edit(workspace, *TASKS[:7], "fraud")
        await measured(lab)
        with pytest.raises(DecisionRefused, match=r"It was rolled back\. The baseline does better"):
            await lab.keep(REFLECTION)
        assert len(fake.requests) == runs
        assert lab.experiments()[1].decision is Decision.REVERT


async def test_only_what_came_after_the_last_confirmed_harness_falls(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        for number in (7, 9, 11):
            await kept(lab, workspace, *TASKS[:number])
        assert (await reviewed(lab, fake, "0008")).outcome is Outcome.KEPT
        await kept(lab, workspace, *TASKS[:13], "fraud")
        review = await lab.review()
        await ended(lab, review.id)
        incumbent = lab.incumbent()
        decisions = [one.decision for one in lab.experiments()]
    assert decisions == [*[Decision.KEEP] * 4, Decision.REVERT]
    assert incumbent is not None
    assert incumbent.n == 3
    assert git(workspace.folder, "show", "HEAD:agent.py") == agent_py(*TASKS[:11]).strip()


class Fades(FakeMeasure):
    """A harness that names `fades` passes nothing any more once it is chosen."""

    def __init__(self) -> None:
        super().__init__()
        self._is_faded = False

    async def __call__(self, request: RunRequest, bench: Bench, report: Report, /) -> Run:
        """Measure."""
        self._is_faded |= b"fades" in request.harnesses.get(Arm.SCORE, {}).get("agent.py", b"")
        nothing = {"agent.py": agent_py().encode()}
        harnesses = {
            arm: nothing if self._is_faded and b"fades" in files["agent.py"] else files
            for arm, files in request.harnesses.items()
        }
        return await super().__call__(replace(request, harnesses=harnesses), bench, report)


async def test_a_harness_that_was_kept_before_another_one_can_be_kept_again_after_it(workspace: Workspace) -> None:
    async with opened(workspace, Fades()) as lab:
        await measured(lab)
        first = await kept(lab, workspace, *TASKS[:12])
        assert (await kept(lab, workspace, *TASKS, "fades")).decision is Decision.KEEP
        again = await kept(lab, workspace, *TASKS[:12])
        incumbent = lab.incumbent()
    assert again.n == first.n
    assert incumbent is not None
    assert incumbent.n == first.n
    assert incumbent.kept_commit == git(workspace.folder, "rev-parse", "HEAD")


async def test_the_baseline_is_the_first_harness_that_works(workspace: Workspace) -> None:
    edit(workspace, "crashes")
    commit_all(workspace.folder)
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        assert lab.incumbent() is None
        edit(workspace, *TASKS[:5])
        commit_all(workspace.folder)
        await measured(lab)
        await kept(lab, workspace, *TASKS[:7])
        review = await lab.review()
        await ended(lab, review.id)
        assert review.duel is not None
        assert review.duel.opponent == 1
        assert fake.requests[-1].harnesses[Arm.INCUMBENT]["agent.py"].decode() == agent_py(*TASKS[:5])


async def test_what_is_changed_from_outside_while_it_is_confirmed_keeps_nothing(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        edit(workspace, *TASKS[:15])
        await measured(lab)
        fake.hold()
        run = (await lab.keep(REFLECTION)).run
        assert run is not None
        await fake.started.wait()
        (workspace.folder / "tasks/t05/tests/test.sh").write_text("echo 1 > /logs/verifier/reward.txt\n")
        fake.gate.set()
        await ended(lab, run.id)
        assert lab.experiments()[1].judgement is None
        with pytest.raises(DecisionRefused, match="Changed from outside: tasks t05"):
            await lab.keep(REFLECTION)
    assert git(workspace.folder, "rev-list", "--count", "HEAD") == "1"


async def test_a_task_that_nobody_can_solve_makes_no_suite_large_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    workspace = made(tmp_path / "work", (*TASKS[:19], "never"), "t00")
    async with opened(workspace) as lab:
        await measured(lab)
        one = await kept(lab, workspace, *TASKS[:19])
    assert one.judgement is not None
    assert one.judgement.evidence > 1000
    assert (one.judgement.outcome, one.is_provisional) == (Outcome.PROVISIONAL, True)
    assert "With so few visible tasks (19)" in one.judgement.reason


async def test_who_deletes_or_forges_trials_does_not_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    workspace = made(tmp_path / "work", TASKS[:4], "t00", "t01")
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        run = await asked(lab, workspace, "t00", "t01", "t02_1", "t02_2")
        before = await ended(lab, run.id)
        judgement = lab.judgement(run.id)
        assert judgement is not None
        assert judgement.outcome is Outcome.UNDECIDED
        folder = workspace.run(run.id)
        forged = json.loads((folder / "t03__1" / "trial.json").read_text(encoding="utf-8"))
        shutil.rmtree(folder)
        for name in ("t03__1", "t03__5"):
            (folder / name).mkdir(parents=True)
            forged |= {"passed": True, "reward": 1.0, "id": name, "attempt": int(name[-1])}
            (folder / name / "trial.json").write_text(json.dumps(forged), encoding="utf-8")
        await ended(lab, (await lab.keep(REFLECTION)).run.id)  # type: ignore[union-attr]
        after = {trial.id: trial for trial in (await lab.run(run.id)).trials}
    assert [after[trial.id] for trial in before.trials] == list(before.trials)
    assert not after["t03__5"].passed


async def test_what_a_killed_server_added_to_an_undecided_run_is_in_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    workspace = made(tmp_path / "work", TASKS[:4], "t00", "t01")
    async with opened(workspace) as lab:
        await measured(lab)
        run = await asked(lab, workspace, "t00", "t01", "t02_1", "t02_2")
        before = await ended(lab, run.id)
    folder = workspace.run(run.id)
    head = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    (folder / "run.json").write_text(json.dumps({**head, "state": "running", "finished_at": None}), encoding="utf-8")
    shutil.copytree(folder / "t03__1", folder / "t03__5")
    trial = (folder / "t03__1" / "trial.json").read_text(encoding="utf-8")
    changed = {**json.loads(trial), "id": "t03__5", "attempt": 5}
    (folder / "t03__5" / "trial.json").write_text(json.dumps(changed), encoding="utf-8")
    async with opened(workspace) as lab:
        after = await lab.run(run.id)
    assert after.state is RunState.INTERRUPTED
    assert {trial.id for trial in after.trials} - {trial.id for trial in before.trials} == {"t03__5"}


class FirstScoreFails(FakeMeasure):
    """The first time, the trials of the score measure nothing, or break the run off."""

    def __init__(self, *, breaks: bool) -> None:
        super().__init__()
        self._breaks = breaks
        self._has_failed = False

    async def __call__(self, request: RunRequest, bench: Bench, report: Report, /) -> Run:
        """Measure."""
        if Arm.SCORE not in request.harnesses or self._has_failed:
            return await super().__call__(request, bench, report)
        self._has_failed = True
        if self._breaks:
            raise OSError(28, "No space left on device")
        run = await super().__call__(request, bench, report)
        lost = {"failure": Failure(cause=FailureCause.SANDBOX_LOST), "reward": None, "passed": False}
        trials = [one.model_copy(update=lost if one.arm is Arm.SCORE else {}) for one in run.trials]
        return self._write(request, bench, RunState.COMPLETE, tuple(trials))


@pytest.mark.parametrize("breaks", [True, False])
async def test_a_score_that_could_not_be_measured_is_measured_again_and_no_pair_is_lost(
    workspace: Workspace, *, breaks: bool
) -> None:
    async with opened(workspace, FirstScoreFails(breaks=breaks)) as lab:
        await measured(lab)
        run = await asked(lab, workspace, *TASKS[:15])
        first = await ended(lab, run.id)
        assert lab.experiments()[1].decision is None
        assert first.state is (RunState.FAILED if breaks else RunState.COMPLETE)
        assert sum(trial.counts for trial in first.trials) == 40
        assert first.spent.cost_usd == 0.25 * len(first.trials)
        again = (await lab.keep(REFLECTION)).run
        assert again is not None
        second = await ended(lab, again.id)
        one = lab.experiments()[1]
    assert (again.id, one.decision) == (run.id, Decision.KEEP)
    assert one.score is not None
    assert (one.score.passed, one.score.trials, one.score.unmeasured) == (30, 40, 0)
    assert {trial.id: trial for trial in second.trials}.items() >= {
        trial.id: trial for trial in first.trials if trial.counts
    }.items()


async def test_a_duel_that_goes_on_counts_each_of_its_trials_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    workspace = made(tmp_path / "work", TASKS[:4], "t00", "t01")
    async with opened(workspace) as lab:
        await measured(lab)
        run = await asked(lab, workspace, "t00", "t01", "t02_1", "t02_2")
        await ended(lab, run.id)
        await lab.keep(REFLECTION)
        trials = len((await ended(lab, run.id)).trials)
        histories = await lab.tasks()
    assert trials == 2 * 4 * 8
    assert [history.attempts for history in histories[0]] == [1 + 1 + 16] * 4
    async with opened(workspace) as lab:
        assert await lab.tasks() == histories
