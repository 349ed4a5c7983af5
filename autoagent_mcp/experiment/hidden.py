"""Hidden tasks: what a client never sees may veto what it wants to keep. One bit of each case is told, nothing else.

Whatever is measured with them has names made of hashes and lies in the user's state folder, with a log of its own. So
no path, label, error or log line that others read can tell of a task; the one border is `Hidden.is_worse`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread

from autoagent_mcp._io import clear_unfinished, write_whole
from autoagent_mcp.errors import ConfigError, HiddenError
from autoagent_mcp.experiment.diversion import diverted
from autoagent_mcp.experiment.duel import difference
from autoagent_mcp.experiment.race import Pair, mean_difference
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.run import Run, RunKind, RunState, Suite
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Arm, Trial, Usage
from autoagent_mcp.run import run as run_room
from autoagent_mcp.run.allowance import Allowance
from autoagent_mcp.run.bench import Bench
from autoagent_mcp.run.run import Report, RunRequest, Schedule, Slot
from autoagent_mcp.run.spent import spent_in
from autoagent_mcp.run.suite import build_suite
from autoagent_mcp.task.split import IN_NAME_ONLY, load_hidden
from autoagent_mcp.workspace import HiddenPlace

PAIRS = 2
"""Of each task in one case: two tell a regression from bad luck often enough, and cost little beside the duel."""
ROTATE_AFTER = 10
"""Cases. Each tells the client one bit of the tasks; with more of them a change can be fitted to what it never saw."""
CHANGED = "The hidden tasks are not those that were there before."
_ACCEPT = "A person who changed them says `autoagent-mcp accept-changes`."
_ROTATE = "The hidden tasks have had their say {bits} times. A person should put other tasks in their place."
_TOO_LITTLE = "Too little could be measured on the hidden tasks to decide."
_LOOK = "Call keep_change again; if that does not help, a person finds the reason in the user's state folder."
_CUT = "A budget was used up before the hidden tasks had their say."
_RAISE = "Raise it in autoagent.toml, restart the server and call keep_change again."
_log = logging.getLogger(__name__)
_disk = anyio.CapacityLimiter(2)

Measuring = Callable[[RunRequest, Bench, Report], Awaitable[Run]]
"""Measures a candidate; `run.run.measure` does."""


class _Cases(Frozen):
    """cases.json."""

    digest: str
    """Of the hidden tasks, as they were when a person last set or accepted them."""
    verdicts: dict[str, bool] = {}
    """Whether the candidate was worse, by case."""


class HiddenPairs(Frozen):
    """What a case showed, for a person's eyes alone."""

    tasks: int
    wins: int
    """Pairs in which the candidate did better."""
    losses: int
    ties: int
    difference_points: float
    """Candidate minus the other, in points of the pass rate, with its 95 % interval."""
    low_points: float
    high_points: float


class _Found(NamedTuple):
    """The hidden tasks as they are now, under names that tell nothing."""

    tasks: tuple[Task, ...]
    suite: Suite
    names: dict[str, str]
    digest: str


class Hidden:
    """The hidden tasks of a workspace; made by `open_hidden`."""

    def __init__(self, bench: Bench, measuring: Measuring, found: _Found, cases: _Cases, spent: Usage) -> None:
        self._bench = bench
        self._place = bench.workspace.hidden
        self._measuring = measuring
        self._found = found
        self._cases = cases
        self._spent = spent
        self._one_at_a_time = anyio.Lock()

    @property
    def spent(self) -> Usage:
        """What all cases took so far, judges too: for the workspace's budget, and never to be shown by itself."""
        return self._spent

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Those that can run here, as they were read last, with names that tell nothing."""
        return self._found.tasks

    @property
    def bits_used(self) -> int:
        """In how many cases these tasks had their say."""
        return len(self._cases.verdicts)

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know of the hidden tasks, as they were read last: nothing of what is in them."""
        split = self._bench.config.split
        said = {
            IN_NAME_ONLY: split is not None and split.hidden_fraction is not None,
            f"{CHANGED} {_ACCEPT}": self._found.digest != self._cases.digest,
            _ROTATE.format(bits=self.bits_used): self.bits_used >= ROTATE_AFTER,
        }
        return tuple(sentence for sentence, holds in said.items() if holds)

    async def take_over(self) -> None:
        """See what another server measured since these were opened, and remove what it left unfinished."""
        await anyio.to_thread.run_sync(clear_unfinished, self._place.cases, self._place.names, limiter=_disk)
        self._cases = await anyio.to_thread.run_sync(_load_cases, self._place, limiter=_disk)
        self._spent = await anyio.to_thread.run_sync(_spent, self._place, limiter=_disk)

    async def accept(self) -> None:
        """Take the tasks as they are now for those that a person wants; what others said before them is forgotten.

        Raises:
            ConfigError: See `open_hidden`.
        """
        self._found = await _read(self._bench)
        if self._found.digest != self._cases.digest:
            self._cases = await _write(self._place, _Cases(digest=self._found.digest))

    async def is_worse(
        self,
        key: str,
        candidate: Mapping[str, bytes],
        incumbent: Mapping[str, bytes],
        left: Allowance = Allowance(),  # noqa: B008 - frozen
    ) -> bool:
        """Say whether a candidate loses more pairs than it wins, or cheats; where that is known, nothing is measured.

        Args:
            key: Names the case; the same key with the same harnesses goes on where it stopped.
            candidate: Its files by path.
            incumbent: The same.
            left: What the workspace's budget leaves.

        Raises:
            HiddenError: Too little could be measured, a budget was used up, or the tasks were changed.
            ConfigError: See `open_hidden`.
        """
        async with self._one_at_a_time:
            with diverted(self._place.log):
                try:
                    return await self._decide(key, candidate, incumbent, left)
                except (ConfigError, HiddenError):
                    raise
                except Exception:  # noqa: BLE001 - the border: no text, and no traceback, of what is hidden gets out
                    _log.exception("Case %s", key)
        raise HiddenError(_TOO_LITTLE, _LOOK)

    async def pairs(self, key: str) -> HiddenPairs | None:
        """Return what a case that was decided showed; None where its trials are not on disk any more."""
        cases = [case for case in self._cases.verdicts if case.rpartition("-")[0] == key]
        run = await anyio.to_thread.run_sync(run_room.load, self._place, cases[-1], limiter=_disk) if cases else None
        by_reward = self._bench.config.decision.counts == "reward"
        return _told(run, by_reward=by_reward) if run is not None and run.trials else None

    async def _decide(
        self, key: str, candidate: Mapping[str, bytes], incumbent: Mapping[str, bytes], left: Allowance
    ) -> bool:
        found = self._found = await _read(self._bench)
        self._cases = await anyio.to_thread.run_sync(_load_cases, self._place, limiter=_disk)
        if found.digest != self._cases.digest:
            raise HiddenError(CHANGED, _ACCEPT)
        case = _case(key, candidate, incumbent, found.suite.fingerprint)
        if case not in self._cases.verdicts:
            harnesses = {Arm.CANDIDATE: candidate, Arm.INCUMBENT: incumbent}
            run = await self._measured(case, harnesses, found, left)
            by_reward = self._bench.config.decision.counts == "reward"
            verdicts = {**self._cases.verdicts, case: _is_worse(run, len(found.tasks), by_reward=by_reward)}
            self._cases = await _write(self._place, _Cases(digest=found.digest, verdicts=verdicts))
        return self._cases.verdicts[case]

    async def _measured(
        self, case: str, harnesses: Mapping[Arm, Mapping[str, bytes]], found: _Found, left: Allowance
    ) -> Run:
        known = {task.name: task for task in found.tasks}
        await anyio.to_thread.run_sync(write_whole, self._place.names, json.dumps(found.names, indent=1), limiter=_disk)
        await anyio.to_thread.run_sync(run_room.interrupt, self._place, case, known, limiter=_disk)
        request = RunRequest(
            id=case,
            kind=RunKind.CONFIRM,
            description="Hidden tasks",
            candidate=case,
            harnesses=harnesses,
            tasks=found.tasks,
            suite=found.suite,
            schedule=_pairing(tuple(known), case),
            allowance=left,
        )
        try:
            run = await self._measuring(request, self._bench.at(self._place), lambda _progress: None)
        finally:
            with anyio.CancelScope(shield=True):
                self._spent = await anyio.to_thread.run_sync(_spent, self._place, limiter=_disk)
        if run.error:
            _log.error("Case %s: %s", case, run.error)
        return run


async def open_hidden(bench: Bench, measuring: Measuring = run_room.measure) -> Hidden | None:
    """Return the hidden tasks of the bench's workspace; None where its settings hide none.

    The tasks that are there the first time are those that a person wants; later ones have to be accepted.

    Args:
        bench: What trials are measured on.
        measuring: What measures a candidate.

    Raises:
        ConfigError: There is no such folder, it is not apart from the workspace, or it has no task that can run here.
        TaskError: There is no folder with visible tasks, of which a fraction were to be hidden.
        OSError: The user's state folder cannot be written.
    """
    if bench.config.split is None:
        return None
    place = bench.workspace.hidden
    await anyio.to_thread.run_sync(_make, place, bench.workspace.folder, limiter=_disk)
    found = await _read(bench)
    if not place.cases.exists():
        await _write(place, _Cases(digest=found.digest))
    cases = await anyio.to_thread.run_sync(_load_cases, place, limiter=_disk)
    spent = await anyio.to_thread.run_sync(_spent, place, limiter=_disk)
    return Hidden(bench, measuring, found, cases, spent)


async def _read(bench: Bench) -> _Found:
    found = await anyio.to_thread.run_sync(_load, bench, limiter=_disk)
    if not found.tasks:
        raise ConfigError(
            "`[split]` in autoagent.toml hides no task that can run here.", "Hide at least one, or take it out."
        )
    return found


def _load(bench: Bench) -> _Found:
    usable, excluded = load_hidden(bench.workspace.folder, bench.config)
    nameless = [task.model_copy(update={"name": _hash(task.name, task.digest)[:12]}) for task in usable]
    able, suite = build_suite(
        nameless, excluded, attempts=PAIRS, config=bench.config, backend=bench.backend, kind=RunKind.CONFIRM
    )
    names = {other.name: task.name for task, other in zip(usable, nameless, strict=True)}
    contents = (*(f"{task.name}\0{task.digest}" for task in usable), *(one.task for one in excluded))
    return _Found(able, suite, names, _hash(*sorted(contents)))


async def _write(place: HiddenPlace, cases: _Cases) -> _Cases:
    await anyio.to_thread.run_sync(write_whole, place.cases, cases.model_dump_json(indent=1), limiter=_disk)
    return cases


def _make(place: HiddenPlace, workspace: Path) -> None:
    if place.folder.resolve().is_relative_to(workspace.resolve()):
        raise ConfigError(
            "What is measured on hidden tasks would lie inside the workspace.",
            "Set XDG_STATE_HOME to a folder outside of it.",
        )
    for folder in (place.folder.parent, place.folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _load_cases(place: HiddenPlace) -> _Cases:
    """Where the file is gone or garbled nothing is known of the tasks, so that a person has to accept them."""
    try:
        return _Cases.model_validate_json(place.cases.read_bytes())
    except (OSError, ValueError):
        return _Cases(digest="")


def _spent(place: HiddenPlace) -> Usage:
    return sum((trial.total for run in place.runs.glob("*/") for trial in spent_in(run)), Usage())


def _pairing(names: Sequence[str], case: str) -> Schedule:
    """Return the schedule of all pairs at once, the two harnesses' trials shuffled together."""
    arms = (Arm.CANDIDATE, Arm.INCUMBENT)
    slots = [Slot(name, number, arm) for number in range(1, PAIRS + 1) for name in names for arm in arms]
    random.Random(case).shuffle(slots)  # noqa: S311 - an order, no secret

    def next_slots(trials: Mapping[str, Trial]) -> Sequence[Slot]:
        return [slot for slot in slots if slot.id not in trials]

    return next_slots


def _is_worse(run: Run, tasks: int, *, by_reward: bool) -> bool:
    if run.state is RunState.CUT:
        raise HiddenError(_CUT, _RAISE)
    found = [pair.difference for pair in _pairs(run.trials, by_reward=by_reward) if pair.difference is not None]
    if run.state is not RunState.COMPLETE or 2 * len(found) < PAIRS * tasks:
        raise HiddenError(_TOO_LITTLE, _LOOK)
    if any(trial.cheats for trial in run.trials if trial.arm is Arm.CANDIDATE):
        return True
    return sum(value > 0 for value in found) < sum(value < 0 for value in found)


def _told(run: Run, *, by_reward: bool) -> HiddenPairs:
    pairs = _pairs(run.trials, by_reward=by_reward)
    found = [pair.difference for pair in pairs if pair.difference is not None]
    tasks = len(run.suite.tasks)
    points, low, high = mean_difference(pairs, tasks)
    return HiddenPairs(
        tasks=tasks,
        wins=sum(value > 0 for value in found),
        losses=sum(value < 0 for value in found),
        ties=sum(value == 0 for value in found),
        difference_points=points,
        low_points=low,
        high_points=high,
    )


def _pairs(trials: Sequence[Trial], *, by_reward: bool) -> list[Pair]:
    others = {(trial.task, trial.attempt): trial for trial in trials if trial.arm is Arm.INCUMBENT}
    pairs = ((trial, others.get((trial.task, trial.attempt))) for trial in trials if trial.arm is Arm.CANDIDATE)
    return [
        Pair(task=one.task, round=one.attempt, difference=difference(one, other, by_reward=by_reward))
        for one, other in pairs
        if other is not None
    ]


def _case(key: str, candidate: Mapping[str, bytes], incumbent: Mapping[str, bytes], fingerprint: str) -> str:
    """Name a case so that nothing of one with other harnesses, tasks or settings is taken for its own."""
    files = (f"{path}\0{_hash(data)}" for side in (candidate, incumbent) for path, data in sorted(side.items()))
    return f"{key}-{_hash(fingerprint, *files)[:8]}"


def _hash(*parts: str | bytes) -> str:
    raw = (part if isinstance(part, bytes) else part.encode(errors="surrogateescape") for part in parts)
    return hashlib.sha256(b"\n".join(hashlib.sha256(part).digest() for part in raw)).hexdigest()
