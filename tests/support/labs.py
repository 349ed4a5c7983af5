"""A lab whose measuring is a fake: which tasks a harness passes stands in its prompt."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path

import anyio
from support.workspaces import ANSWER_TASK, ROOT, make_workspace

from autoagent_mcp import config as config_file
from autoagent_mcp._io import write_whole
from autoagent_mcp.experiment.lab import Lab, open_lab
from autoagent_mcp.models.run import Progress, Run, RunKind, RunState
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Failure, FailureCause, Trial, Usage
from autoagent_mcp.run.bench import Bench, open_bench
from autoagent_mcp.run.cheating import PASSED_IMPOSSIBLE
from autoagent_mcp.run.run import Report, RunRequest, Slot, load
from autoagent_mcp.workspace import Workspace

REFLECTION = "Yes, it would help with any task."
TASKS = ("apple", "banana", "cherry", "damson")
_PROMPT = re.compile(r'SYSTEM_PROMPT = "[^"]*"')


def agent_py(*solves: str, extra: str = "") -> str:
    """Return the shipped agent.py with a prompt that names the tasks it passes, and more code where wanted."""
    shipped = (ROOT / "agent.py").read_text(encoding="utf-8")
    return _PROMPT.sub(f'SYSTEM_PROMPT = "solves: {" ".join(solves)}"{extra}', shipped)


def make_lab_workspace(folder: Path, *solves: str) -> Workspace:
    """Make a committed workspace with four tasks whose harness passes some of them."""
    return make_workspace(folder, agent=agent_py(*solves), tasks=dict.fromkeys(TASKS, ANSWER_TASK))


def edit(workspace: Workspace, *solves: str, extra: str = "") -> None:
    """Write agent.py anew; see `agent_py`."""
    workspace.agent.write_text(agent_py(*solves, extra=extra), encoding="utf-8")


class FakeMeasure:
    """Measures as `run.run.measure` does, with its files on disk, but looks into the prompt instead of trying.

    A prompt that names `crashes`, `unimportable` or `lost` makes every trial crash, the run fail, or a trial measure
    nothing (the first time); `fraud` passes nothing in a review. `apple` passes always, `apple_3` in its third attempt;
    `apple_half` is rewarded with 0.5.
    """

    def __init__(self) -> None:
        self.requests: list[RunRequest] = []
        self.started = anyio.Event()
        self.reviewing = anyio.Event()
        self.gate = anyio.Event()
        self.gate.set()

    def hold(self) -> None:
        """Let the next run go on without end, until `gate` is set."""
        self.gate = anyio.Event()
        self.started = anyio.Event()

    async def __call__(self, request: RunRequest, bench: Bench, report: Report, /) -> Run:
        """Measure."""
        self.requests.append(request)
        before = load(bench.workspace, request.id)
        words = {arm: _words(files) for arm, files in request.harnesses.items()}
        if request.kind is RunKind.REVIEW:
            words = {arm: [] if "fraud" in said else said for arm, said in words.items()}
        run = self._write(request, bench, RunState.RUNNING, ())
        report(Progress(run=run.id, done=0, total=len(request.tasks), passed=0, cost_usd=0.0))
        self.started.set()
        if request.kind is RunKind.REVIEW:
            self.reviewing.set()
        try:
            await self.gate.wait()
        except anyio.get_cancelled_exc_class():
            self._write(request, bench, RunState.CANCELLED, ())
            raise
        if any("unimportable" in said for said in words.values()):
            return self._write(request, bench, RunState.FAILED, (), error="agent.py raised ImportError on line 1.")
        trials = {trial.id: trial for trial in before.trials} if before else {}
        measured = {name: trial for name, trial in trials.items() if trial.counts}
        tasks = {task.name: task for task in request.tasks}
        while slots := request.next_slots(measured):
            new = [_trial(slot, tasks[slot.task], words[slot.arm], is_lost=before is None) for slot in slots]
            measured |= {trial.id: trial for trial in new}
        return self._write(
            request, bench, RunState.COMPLETE, tuple(sorted((trials | measured).values(), key=lambda trial: trial.id))
        )

    def _write(
        self, request: RunRequest, bench: Bench, state: RunState, trials: tuple[Trial, ...], *, error: str = ""
    ) -> Run:
        changes = {
            "state": state,
            "finished_at": None if state is RunState.RUNNING else datetime.now(timezone.utc),
            "trials": trials,
            "error": error,
            "spent": sum((trial.usage for trial in trials), Usage()),
            "duration_sec": sum(trial.duration_sec for trial in trials),
            "is_harness_broken": bool(error),
        }
        run = request.started().model_copy(update=changes)
        folder = bench.workspace.run(run.id)
        folder.mkdir(parents=True, exist_ok=True)
        for trial in trials:
            (folder / trial.id).mkdir(exist_ok=True)
            write_whole(folder / trial.id / "trial.json", trial.model_dump_json(), is_durable=False)
        write_whole(folder / "run.json", run.model_dump_json(exclude={"trials"}), is_durable=False)
        return run


def _words(files: Mapping[str, bytes]) -> list[str]:
    return re.findall(r"\w+", _PROMPT.findall(files["agent.py"].decode())[0])


def _trial(slot: Slot, task: Task, words: list[str], *, is_lost: bool) -> Trial:
    failure = Failure(cause=FailureCause.HARNESS_CRASHED) if "crashes" in words else None
    if is_lost and "lost" in words and slot.task == TASKS[0]:
        failure = Failure(cause=FailureCause.SANDBOX_LOST)
    passed = failure is None and bool({slot.task, f"{slot.task}_{slot.attempt}"} & set(words))
    return Trial(
        id=slot.id,
        task=slot.task,
        attempt=slot.attempt,
        arm=slot.arm,
        is_impossible=task.is_impossible,
        cheats=(PASSED_IMPOSSIBLE,) if passed and task.is_impossible else (),
        reward=None
        if failure and failure.cause is FailureCause.SANDBOX_LOST
        else max(passed, 0.5 * (f"{slot.task}_half" in words)),
        passed=passed,
        failure=failure,
        usage=Usage(model_calls=2, prompt_tokens=100, completion_tokens=10, cost_usd=0.25),
        started_at=datetime.now(timezone.utc),
        duration_sec=2.0,
    )


@asynccontextmanager
async def opened(workspace: Workspace, fake: FakeMeasure | None = None) -> AsyncGenerator[Lab]:
    """Open a lab on the workspace's own settings."""
    settings = config_file.load(workspace.folder)
    async with open_bench(workspace, settings) as bench, open_lab(bench, measuring=fake or FakeMeasure()) as lab:
        yield lab


async def measured(lab: Lab, description: str = "Try something") -> Run:
    """Run the suite to its end."""
    run = await lab.start_suite(description)
    with anyio.fail_after(20):
        return await lab.wait(run.id, 20)


class HoldsHidden(FakeMeasure):
    """Begins with the hidden tasks only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_hidden = anyio.Event()
        self.may_go_on = anyio.Event()

    async def __call__(self, request: RunRequest, bench: Bench, report: Report, /) -> Run:
        """Measure."""
        if "Hidden" in request.description:
            self.asked_hidden.set()
            await self.may_go_on.wait()
        return await super().__call__(request, bench, report)
