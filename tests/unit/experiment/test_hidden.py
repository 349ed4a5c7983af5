"""What hidden tasks may say, and that their names and texts stay where they belong."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path

import anyio
import pytest
from support.labs import make_lab_workspace
from support.workspaces import ANSWER_TASK, write_tree

from autoagent_mcp import config as config_file
from autoagent_mcp.errors import ConfigError, HiddenError
from autoagent_mcp.experiment.hidden import ROTATE_AFTER, Hidden, open_hidden
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.models.trial import Arm, Failure, FailureCause, Trial, Usage
from autoagent_mcp.run.allowance import Allowance
from autoagent_mcp.run.bench import Bench, open_bench
from autoagent_mcp.run.run import Report, RunRequest, Slot
from autoagent_mcp.workspace import Workspace

SECRETS = ("zyxomma", "quagswag")
"""Hidden tasks."""
OLD, NEW, OTHER = ({"agent.py": text} for text in (b"old", b"new", b"other"))
Gives = Callable[[str, Slot], float | None]
"""The reward of a task's trial, which passes with 1; None where it measures nothing."""


class FakeMeasure:
    """Measures nothing but says which trials pass."""

    def __init__(self, workspace: Workspace, gives: Gives) -> None:
        self._workspace = workspace
        self._before: dict[str, dict[str, Trial]] = {}
        self.gives = gives
        self.slots: list[Slot] = []
        self.requests: list[RunRequest] = []
        self.state = RunState.COMPLETE
        self.cheats: tuple[str, ...] = ()
        self.error: Exception | None = None

    async def __call__(self, request: RunRequest, bench: Bench, report: Report, /) -> Run:
        """Measure."""
        del bench, report
        self.requests.append(request)
        if self.error is not None:
            logging.getLogger("anything").error("%s went wrong", SECRETS[0])
            raise self.error
        names = json.loads(self._workspace.hidden.names.read_bytes())
        known = self._before.setdefault(request.id, {})
        slots = request.next_slots({name: trial for name, trial in known.items() if trial.counts})
        self.slots += slots
        known |= {slot.id: trial_of(slot, self.cheats, reward=self.gives(names[slot.task], slot)) for slot in slots}
        return request.started().model_copy(update={"state": self.state, "trials": tuple(known.values())})


def trial_of(slot: Slot, cheats: tuple[str, ...], *, reward: float | None) -> Trial:
    return Trial(
        id=slot.id,
        task=slot.task,
        attempt=slot.attempt,
        arm=slot.arm,
        reward=reward,
        passed=reward == 1,
        failure=Failure(cause=FailureCause.SANDBOX_LOST) if reward is None else None,
        cheats=cheats if slot.arm is Arm.CANDIDATE else (),
        started_at=datetime.now(timezone.utc),
        duration_sec=1,
    )


def all_alike(_task: str, _slot: Slot) -> bool:
    return True


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Make one with two hidden tasks beside it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    workspace = make_lab_workspace(tmp_path / "work", "apple")
    for name in SECRETS:
        write_tree(tmp_path / "aside" / name, ANSWER_TASK)
    split(workspace, "hidden_dir = '../aside'")
    return workspace


def split(workspace: Workspace, line: str) -> None:
    text = f'[run]\nbackend = "bubblewrap"\n[split]\n{line}\n'
    (workspace.folder / "autoagent.toml").write_text(text, encoding="utf-8")


@asynccontextmanager
async def opened(workspace: Workspace, fake: FakeMeasure) -> AsyncGenerator[Hidden]:
    async with open_bench(workspace, config_file.load(workspace.folder)) as bench:
        hidden = await open_hidden(bench, fake)
        assert hidden is not None
        yield hidden


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, with its traceback."""
        self.lines.append(logging.Formatter().format(record))


@pytest.fixture
def log() -> Generator[Kept]:
    """Listen to what the server would log."""
    kept = Kept()
    logging.getLogger().addHandler(kept)
    yield kept
    logging.getLogger().removeHandler(kept)


@pytest.mark.parametrize(
    ("wins", "losses", "is_worse"), [(0, 0, False), (1, 1, False), (2, 1, False), (0, 1, True), (1, 2, True)]
)
async def test_losing_more_pairs_than_winning_is_worse(
    workspace: Workspace, wins: int, losses: int, *, is_worse: bool
) -> None:
    def passes(task: str, slot: Slot) -> bool:
        pair = SECRETS.index(task) * 2 + slot.attempt - 1
        better = Arm.CANDIDATE if pair < wins else Arm.INCUMBENT if pair < wins + losses else None
        return better in {None, slot.arm}

    fake = FakeMeasure(workspace, passes)
    async with opened(workspace, fake) as hidden:
        assert await hidden.is_worse("0002", NEW, OLD, Allowance(tokens=5)) is is_worse
    assert fake.requests[0].allowance.tokens == 5
    assert len(fake.slots) == 2 * 2 * len(SECRETS)
    assert fake.requests[0].harnesses == {Arm.CANDIDATE: NEW, Arm.INCUMBENT: OLD}
    assert {slot.arm for slot in fake.slots[:4]} == {Arm.CANDIDATE, Arm.INCUMBENT}


@pytest.mark.parametrize(("counts", "is_worse"), [("passed", False), ("reward", True)])
async def test_rewards_are_compared_where_the_settings_say_so(
    workspace: Workspace, counts: str, *, is_worse: bool
) -> None:
    split(workspace, f"hidden_dir = '../aside'\n[decision]\ncounts = '{counts}'")
    fake = FakeMeasure(workspace, lambda _, slot: 0.4 if slot.arm is Arm.CANDIDATE else 0.6)
    async with opened(workspace, fake) as hidden:
        assert await hidden.is_worse("0002", NEW, OLD) is is_worse


async def test_a_case_is_measured_once_and_costs_one_bit(workspace: Workspace) -> None:
    fake = FakeMeasure(workspace, lambda _, slot: slot.arm is Arm.INCUMBENT)
    async with opened(workspace, fake) as hidden:
        assert await hidden.is_worse("0002", NEW, OLD)
    async with opened(workspace, fake) as hidden:
        assert await hidden.is_worse("0002", NEW, OLD)
        assert (len(fake.requests), hidden.bits_used) == (1, 1)
        fake.gives = all_alike
        assert not await hidden.is_worse("0002", OTHER, OLD)
        assert not await hidden.is_worse("0003", NEW, OLD)
        assert hidden.bits_used == 3


async def test_what_measured_nothing_is_tried_again_and_the_rest_is_not(workspace: Workspace) -> None:
    fake = FakeMeasure(workspace, lambda task, slot: None if task == SECRETS[0] or slot.attempt == 1 else True)
    async with opened(workspace, fake) as hidden:
        with pytest.raises(HiddenError, match="Too little"):
            await hidden.is_worse("0002", NEW, OLD)
        assert hidden.bits_used == 0
        fake.slots.clear()
        fake.gives = all_alike
        assert not await hidden.is_worse("0002", NEW, OLD)
    assert len(fake.slots) == 6


async def test_half_of_the_pairs_are_enough(workspace: Workspace) -> None:
    fake = FakeMeasure(workspace, lambda task, slot: slot.arm is Arm.INCUMBENT if task == SECRETS[0] else None)
    async with opened(workspace, fake) as hidden:
        assert await hidden.is_worse("0002", NEW, OLD)


@pytest.mark.parametrize(("state", "said"), [(RunState.CUT, "budget"), (RunState.FAILED, "Too little")])
async def test_a_run_that_did_not_come_to_its_end_tells_nothing(
    workspace: Workspace, state: RunState, said: str
) -> None:
    fake = FakeMeasure(workspace, all_alike)
    fake.state = state
    async with opened(workspace, fake) as hidden:
        with pytest.raises(HiddenError, match=said):
            await hidden.is_worse("0002", NEW, OLD)
        assert hidden.bits_used == 0


async def test_a_candidate_that_cheats_is_worse(workspace: Workspace) -> None:
    fake = FakeMeasure(workspace, all_alike)
    fake.cheats = ("It held a token.",)
    async with opened(workspace, fake) as hidden:
        assert await hidden.is_worse("0002", NEW, OLD)


async def test_nothing_of_a_task_stands_in_an_error_or_in_the_log(workspace: Workspace, log: Kept) -> None:
    fake = FakeMeasure(workspace, all_alike)
    fake.error = RuntimeError(f"{SECRETS[0]}: no such file")
    async with opened(workspace, fake) as hidden:
        with pytest.raises(HiddenError) as failure:
            await hidden.is_worse("0002", NEW, OLD)
        logging.getLogger("anything").error("afterwards")
        request = fake.requests[0]
    assert (failure.value.__cause__, failure.value.__context__) == (None, None)
    assert log.lines == ["afterwards"]
    assert workspace.hidden.log.read_text(encoding="utf-8").count(SECRETS[0]) >= 2
    told = f"{failure.value} {request.id} {request.next_slots({})} {request.suite} {request.description}"
    assert not [name for name in SECRETS if name in told]


async def test_what_lies_outside_is_the_owners_alone(workspace: Workspace) -> None:
    async with opened(workspace, FakeMeasure(workspace, all_alike)) as hidden:
        await hidden.is_worse("0002", NEW, OLD)
    place = workspace.hidden.folder
    assert not place.is_relative_to(workspace.folder)
    assert [path.stat().st_mode & 0o777 for path in (place, place.parent)] == [0o700, 0o700]
    assert set(json.loads(workspace.hidden.names.read_bytes()).values()) == set(SECRETS)


async def test_all_trials_on_disk_are_spent(workspace: Workspace) -> None:
    fake = FakeMeasure(workspace, all_alike)
    trial = trial_of(Slot("x", 1), (), reward=1).model_copy(
        update={"usage": Usage(model_calls=1, cost_usd=0.5), "judge_usage": Usage(model_calls=2, cost_usd=0.25)}
    )
    for name in ("x__1", "x__1.failed"):
        write_tree(workspace.hidden.run("0001-a"), {f"{name}/trial.json": trial.model_dump_json()})
    async with opened(workspace, fake) as hidden:
        assert (hidden.spent.model_calls, hidden.spent.cost_usd) == (6, 1.5)


# What a person is told


async def test_changed_tasks_say_nothing_until_they_are_accepted(workspace: Workspace, tmp_path: Path) -> None:
    fake = FakeMeasure(workspace, all_alike)
    async with opened(workspace, fake) as hidden:
        await hidden.is_worse("0002", NEW, OLD)
        assert hidden.notices == ()
        (tmp_path / "aside" / SECRETS[0] / "instruction.md").write_text("Do nothing.", encoding="utf-8")
    async with opened(workspace, fake) as hidden:
        (notice,) = hidden.notices
        with pytest.raises(HiddenError) as refusal:
            await hidden.is_worse("0003", NEW, OLD)
        assert str(refusal.value) == notice
        assert "accept-changes" in notice
        assert not [name for name in SECRETS if name in notice]
        await hidden.accept()
        assert (hidden.notices, hidden.bits_used) == ((), 0)
        assert not await hidden.is_worse("0003", NEW, OLD)


async def test_a_record_that_is_garbled_counts_as_a_change(workspace: Workspace) -> None:
    async with opened(workspace, FakeMeasure(workspace, all_alike)):
        workspace.hidden.cases.write_text("{", encoding="utf-8")
    async with opened(workspace, FakeMeasure(workspace, all_alike)) as hidden:
        assert len(hidden.notices) == 1
        await hidden.accept()
        assert hidden.notices == ()


async def test_after_many_cases_other_tasks_are_asked_for(workspace: Workspace) -> None:
    async with opened(workspace, FakeMeasure(workspace, all_alike)) as hidden:
        for number in range(ROTATE_AFTER - 1):
            await hidden.is_worse(f"{number:04}", NEW, OLD)
        assert hidden.notices == ()
        await hidden.is_worse("last", NEW, OLD)
        (notice,) = hidden.notices
    assert "10 times" in notice


async def test_a_fraction_is_said_to_be_hidden_in_name_only(workspace: Workspace) -> None:
    split(workspace, "hidden_fraction = 0.5")
    async with opened(workspace, FakeMeasure(workspace, all_alike)) as hidden:
        assert ["in name only" in notice for notice in hidden.notices] == [True]
        assert len(hidden.tasks) in {1, 2, 3}


# What cannot be used


async def test_without_a_split_there_is_nothing_hidden(workspace: Workspace) -> None:
    (workspace.folder / "autoagent.toml").write_text('[run]\nbackend = "bubblewrap"\n', encoding="utf-8")
    async with open_bench(workspace, config_file.load(workspace.folder)) as bench:
        assert await open_hidden(bench) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hidden_dir = '../nowhere'", "There is no folder"),
        ("hidden_dir = 'tasks'", "lies inside the workspace"),
        ("hidden_dir = '../broken'", "hides no task that can run here"),
    ],
)
async def test_hidden_tasks_that_cannot_be_used_are_refused_namelessly(
    workspace: Workspace, tmp_path: Path, line: str, said: str
) -> None:
    write_tree(tmp_path / "broken" / SECRETS[0], {"task.toml": "no toml"})
    split(workspace, line)
    with pytest.raises(ConfigError, match=said) as refusal:
        async with opened(workspace, FakeMeasure(workspace, all_alike)):
            pass
    assert SECRETS[0] not in str(refusal.value)


async def test_traces_inside_the_workspace_are_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(workspace.folder / "state"))
    with pytest.raises(ConfigError, match="XDG_STATE_HOME"):
        async with opened(workspace, FakeMeasure(workspace, all_alike)):
            pass
    assert not (workspace.folder / "state").exists()


async def test_a_cancelled_case_stays_undecided(workspace: Workspace) -> None:
    started = anyio.Event()

    async def never(_request: RunRequest, _bench: Bench, _report: Report, /) -> Run:
        started.set()
        await anyio.sleep_forever()
        raise AssertionError

    async with open_bench(workspace, config_file.load(workspace.folder)) as bench:
        hidden = await open_hidden(bench, never)
        assert hidden is not None
        async with anyio.create_task_group() as group:
            group.start_soon(hidden.is_worse, "0002", NEW, OLD)
            await started.wait()
            group.cancel_scope.cancel()
        assert hidden.bits_used == 0
