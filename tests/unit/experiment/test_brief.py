"""The brief: what can be proven here, what was learnt, and no more than a client's context takes."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.labs import REFLECTION, agent_py, edit, measured, opened
from support.workspaces import ANSWER_TASK, make_workspace

from autoagent_mcp._text import size
from autoagent_mcp.experiment import brief
from autoagent_mcp.experiment.failing import WRONG_ANSWER, by_cause
from autoagent_mcp.experiment.learnt import learn
from autoagent_mcp.experiment.provable import provable
from autoagent_mcp.models.author import Author
from autoagent_mcp.models.experiment import (
    Candidate,
    ChangeKind,
    Comparison,
    Decision,
    Experiment,
    Forecast,
    Judgement,
    Outcome,
    PredictionScore,
)
from autoagent_mcp.models.run import Progress, Run, RunKind, RunState, Score, Suite
from autoagent_mcp.models.trial import Failure, FailureCause, Trial, Usage
from autoagent_mcp.tools.ledger import BRIEF_LIMIT_CHARS
from autoagent_mcp.tools.text import RESULT_LIMIT_CHARS
from autoagent_mcp.tools.views import EXPERIMENTS_PER_PAGE, LedgerView, experiment_row
from autoagent_mcp.workspace import Workspace

TASKS = tuple(f"t{number:02}" for number in range(20))
NOISE = Comparison(
    solved=("t05", "t06"),
    broken=("t00",),
    passed_before=1,
    passed_now=2,
    avg_before=0.1,
    avg_now=0.2,
    complexity_before=1,
    complexity_now=1,
)


def experiment(n: int, **changes: object) -> Experiment:
    """Return a reverted one."""
    plain = Experiment(
        n=n,
        description=f"Idea {n}",
        candidate=Candidate(tree=f"{n}", commit=f"{n}", identity=f"{n}", complexity=1),
        parent="0" if n else None,
        base_commit="0",
        started_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        decision=Decision.REVERT if n else Decision.KEEP,
        reason=f"Lesson {n}",
    )
    return plain.model_copy(update=changes)


def trial(task: str, cause: FailureCause | None = None, *, passed: bool = False) -> Trial:
    """Return one of a task."""
    return Trial(
        id=f"{task}__1",
        task=task,
        attempt=1,
        reward=float(passed),
        passed=passed,
        failure=Failure(cause=cause) if cause else None,
        started_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        duration_sec=1.0,
    )


async def test_a_refused_change_is_a_lesson_and_a_near_miss_until_its_tasks_are_solved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    workspace = make_workspace(
        tmp_path / "work",
        agent=agent_py(*TASKS[:5]),
        tasks=dict.fromkeys(TASKS, ANSWER_TASK),
        settings='[decision]\nrule = "evidence"\n',
    )
    workspace.program.write_text(" ".join(TASKS), encoding="utf-8")  # so that a prompt may name them
    async with opened(workspace) as lab:
        baseline = await measured(lab)
        told = (
            "in this suite of 20, 19.7 points, for up to 200 trials (about $50.00); in one of 40, 14.5 points, for up"
        )
        assert told in await lab.next_step(baseline)
        assert told in (await lab.brief()).text

        # Its first attempts are all for the better, the later ones break as many tasks as they fix.
        edit(workspace, *TASKS[2:6], "t00_1", "t01_1", "t06_1")
        await measured(lab, "Try harder")
        run = (await lab.keep(REFLECTION)).run
        assert run is not None
        assert await lab.comparison(await lab.wait(run.id, 20)) == lab.experiments()[1].comparison
        text = (await lab.brief()).text
        assert "not kept:\n- 1 (prompt): Beside the incumbent it is no better: 4 pairs won and 4 lost" in text
        assert "still fails:\n- 1: fixed t05, t06; broke t00, t01; evidence 0.4" in text
        assert "Kept so far, by kind of change: prompt 0 of 1." in text
        row = experiment_row(lab.experiments()[1])
        assert (row.kind, row.evidence, row.prediction) == ("prompt", "0.4: 4 pairs won, 4 lost", "")

        await lab.revert("Trying harder breaks easy tasks")
        assert "- 1 (prompt): Trying harder breaks easy tasks\n" in (await lab.brief()).text
        edit(workspace, *TASKS[:15])
        await measured(lab, "Solve more")
        run = (await lab.keep(REFLECTION)).run
        assert run is not None
        await lab.wait(run.id, 20)
        text = (await lab.brief()).text
    assert "Near misses" not in text
    assert "Kept so far, by kind of change: prompt 1 of 2." in text


async def test_under_the_seeds_rule_the_baseline_tells_what_one_run_is_worth(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        assert "one run decides" not in (await lab.brief()).text
        next_step = await lab.next_step(await measured(lab))
        assert next_step.startswith('Under rule = "seed" one run decides.')
        assert "smallest gain" not in next_step
        assert "one run decides" in (await lab.brief()).text
        for lesson, word in (("Less is  less", "one"), ("more is more", "two"), ("less is less", "three")):
            edit(workspace, word)
            await lab.revert(lesson)
        assert (
            "What not to try again, as it was not kept:\n- 3 (prompt), and 1 before it: less is less\n"
            "- 2 (prompt): more is more\n"
        ) in (await lab.brief()).text


def test_with_few_tasks_it_says_that_a_person_must_look_and_an_unknown_price_stays_unknown() -> None:
    text = provable(4, pass_rate=0.5, trial_cost_usd=None)
    assert "in up to" not in text
    assert "for up to 40 trials (at unknown cost); in one of 8" in text
    assert "With so few visible tasks (4) no change of usual size can be proven; a person must look" in text
    assert "a person must look" not in provable(20, pass_rate=0.5, trial_cost_usd=None)
    assert "in this suite of 20, none, for" in provable(20, pass_rate=1, trial_cost_usd=0)


def test_near_misses_are_the_best_and_only_what_the_incumbent_still_fails() -> None:
    shown = [
        experiment(0),
        experiment(1, comparison=NOISE),
        experiment(2, comparison=NOISE.model_copy(update={"broken": ()})),
        experiment(3, comparison=NOISE, decision=Decision.KEEP),
        experiment(4, comparison=NOISE.model_copy(update={"solved": ("t06",)})),
        experiment(5, comparison=NOISE, decision=None, reason=""),
        experiment(6, comparison=NOISE, decision=None, reason=""),
    ]
    misses = learn(shown, ["t05", "t09"]).near_misses
    assert [(one.experiment, one.fixed) for one in misses] == [(2, ("t05",)), (5, ("t05",)), (1, ("t05",))]
    assert learn(shown, []).near_misses == ()


def test_the_keep_rate_is_told_by_kind_of_all_that_was_tried() -> None:
    prompt, both = (ChangeKind.PROMPT,), (ChangeKind.PROMPT, ChangeKind.TOOLS)
    shown = [
        experiment(0),
        experiment(1, kind_of_change=prompt, decision=Decision.KEEP),
        experiment(2, kind_of_change=prompt, decision=Decision.CRASH),
        experiment(3, kind_of_change=both),
        experiment(4, kind_of_change=prompt, decision=None, comparison=NOISE),
        experiment(5, kind_of_change=prompt, decision=None, comparison=NOISE),
    ]
    rates = learn(shown, []).keep_rates
    assert [(one.kind, one.kept, one.tried) for one in rates] == [("prompt", 1, 3), ("several", 0, 1)]


def test_what_fails_is_grouped_by_its_cause_with_how_often_and_what_measured_nothing_is_no_failure() -> None:
    late, crashed, lost = FailureCause.HARNESS_TIMEOUT, FailureCause.HARNESS_CRASHED, FailureCause.SANDBOX_LOST
    causes = by_cause(
        [
            *(trial("often", late), trial("often", late), trial("often"), trial("often", passed=True)),
            *(trial("once", late), trial("once", passed=True), trial("never", passed=True)),
            *(
                trial("lost", lost),
                trial("crash", crashed),
                trial("impossible").model_copy(update={"is_impossible": True}),
            ),
        ]
    )
    told = {one.name: [(task.name, task.failed, task.trials) for task in one.tasks] for one in causes}
    assert list(told) == ["harness timeout", "harness crashed", WRONG_ANSWER]
    assert told == {
        "harness timeout": [("often", 2, 4), ("once", 1, 2)],
        "harness crashed": [("crash", 1, 1)],
        WRONG_ANSWER: [("often", 1, 4)],
    }


def long_state() -> brief.State:
    """Return what is known after 2,000 experiments by people who say much."""
    long = "a word that says much " * 200
    names = tuple(f"a-task-with-a-name-that-somebody-thought-was-a-good-idea-{number:03}" for number in range(500))
    score = Score(trials=500, passed=250, unmeasured=0, avg_score=0.5, tasks=(), usage=Usage())
    forecast = Forecast(hits=names[:20], misses=names[20:50], surprises=names[50:])
    tried = [
        experiment(
            n,
            description=long,
            reason=f"{n} {long}",
            kind_of_change=(tuple(ChangeKind)[n % 6],),
            comparison=NOISE.model_copy(update={"solved": names, "broken": names}),
            prediction=PredictionScore(fixed=forecast, broken=forecast),
            score=score,
            runs=("0001", "0002", "0003", "0004", "0005"),
        )
        for n in range(2000)
    ]
    return brief.State(
        goal=long,
        incumbent=tried[0],
        lineage=(tried[0], *tried[25:30]),
        changes=29,
        causes=by_cause(trial(name, cause) for name in names for cause in (*FailureCause, None)),
        experiments=2000,
        kept=1,
        last=tuple(tried[: -brief.SHOWN - 1 : -1]),
        learnt=learn(tried, names),
        authors=tuple((f"client {number} {long}", 20 - number) for number in range(20)),
        provable=provable(19, pass_rate=0.5, trial_cost_usd=123.456),
        budget="Left of the budget: 100 experiments, $1000.00, 1000000 tokens, 100.0 hours of runs.",
        running=Run(
            id="0001",
            kind=RunKind.SUITE,
            description=long,
            candidate="0",
            suite=Suite(tasks=names, fingerprint="0", backend="bubblewrap", model="m"),
            state=RunState.RUNNING,
            started_at=tried[0].started_at,
        ),
        progress=Progress(run="0001", done=100, total=500, passed=50, cost_usd=None),
        working=long,
        next="Go on.",
        excluded=100,
        tasks=500,
        model=long,
        backend="bubblewrap",
        notices=(long,) * 20,
    )


def test_after_two_thousand_experiments_the_brief_still_fits() -> None:
    state = long_state()
    text = brief.write(state).text
    assert size(text) <= BRIEF_LIMIT_CHARS
    assert brief.write(state).text == text
    for part in (
        "The incumbent is experiment 0",
        "Run 0001 (suite) goes on, 100 of 500 trials done, 50 passed",
        "Read program.md; it begins: a word that says much",
        "How it got there:\n- 0 (the baseline): 250 of 500 trials passed, average reward 0.500\n- and 24 more\n- 25 (",
        "\n- harness crashed: a-task-with-a-name-that-somebody-thought-was-a-good-idea-000 1 of 7, a-task",
        "and 498 more\n- and 1 more",
        "\n- 1994 (",
        "Experiments by client: client 0 a word",
        "\n- 1992 (prompt): 1992 a word",
        "\n- 1999: fixed a-task",
        "Kept so far, by kind of change: prompt 0 of 333",
        "Your predictions, in 2000 runs: of 100000 tasks expected to become solved 40000 did; of 940000 that became",
        "Notice: and 17 more.",
    ):
        assert part in text


def test_a_page_of_the_longest_experiments_fits_into_one_answer() -> None:
    forecast = Forecast(hits=("a",) * 25, misses=("b",) * 25, surprises=())
    judgement = Judgement(
        outcome=Outcome.UNDECIDED,
        reason="",
        evidence=1e12,
        wins=1000,
        losses=1000,
        ties=0,
        difference_points=0,
        low_points=0,
        high_points=0,
        smallest_effect_points=None,
        trials=1,
        cost_usd=0,
    )
    row = experiment_row(
        experiment(
            1999,
            description="a long idea " * 100,
            reason="a lesson\n" * 500,
            judgement=judgement,
            prediction=PredictionScore(fixed=forecast, broken=forecast),
            kind_of_change=tuple(ChangeKind),
            runs=("1001", "1002", "1003", "1004", "1005"),
            author=Author(client="c" * 100, client_version="1" * 100, meta_model="m" * 100, server_version="1.0"),
            score=Score(trials=1000, passed=100, unmeasured=0, avg_score=1 / 3, tasks=(), usage=Usage(cost_usd=123)),
        )
    )
    assert (row.kind, row.prediction) == ("several", "solved 25 of 50, broke 25 of 50")
    page = LedgerView(experiments=(row,) * EXPERIMENTS_PER_PAGE, page=1, pages=200, next="Call get_brief. " * 5)
    assert len(page.model_dump_json(indent=2)) <= RESULT_LIMIT_CHARS


async def test_where_no_task_can_run_any_more_nothing_is_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    workspace = make_workspace(tmp_path / "work", agent=agent_py("answer"), settings='[decision]\nrule = "evidence"\n')
    async with opened(workspace) as lab:
        await measured(lab)
        assert "With so few visible tasks (1)" in (await lab.brief()).text
    (workspace.folder / "tasks" / "answer" / "environment" / "Dockerfile").write_text("FROM x\nRUN apt\n")
    async with opened(workspace) as lab:
        text = (await lab.brief()).text
    assert "Suite: 0 tasks" in text
    assert "visible task" not in text
