"""What the rows of a ledger tell, reckoned anew: scores out of trials, decisions out of scores and pairs.

Imports nothing of autoagent_mcp: what is known of the rows is written down here a second time.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = dict[str, Any]

COUNTING = {"harness_timeout", "harness_crashed", "out_of_turns", "out_of_budget", "reward_garbled", "step_broken"}
"""Failures of the harness's own; a trial with any other one measured nothing."""
_PROVEN = 3.0
_TOLERANCE = 1e-9


class Row(NamedTuple):
    """A row of the ledger."""

    seq: int
    at: str
    kind: str
    body: str
    previous_sha256: str
    sha256: str

    @property
    def expected_sha256(self) -> str:
        """What it must have for a hash."""
        content = f"{self.previous_sha256}\n{self.seq}\n{self.at}\n{self.kind}\n{self.body}"
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass
class Candidate:
    """An experiment, as its rows tell it."""

    n: int
    began: Json
    runs: list[str] = field(default_factory=list[str])
    score: Json | None = None
    decided: Json | None = None
    decisions: list[str] = field(default_factory=list[str])
    """All that was ever decided: what was kept may be rolled back."""

    @property
    def commit(self) -> str:
        """The commit that stands for it: on the branch where it was kept."""
        return (self.decided or {}).get("kept_commit") or self.began["candidate"]["commit"]


@dataclass
class Story:
    """All rows, told in order."""

    candidates: list[Candidate] = field(default_factory=list[Candidate])
    trials: dict[str, list[Json]] = field(default_factory=dict[str, list[Json]])
    """Of each run, as entered last."""
    measured: dict[str, Json] = field(default_factory=dict[str, Json])
    judged: dict[str, Json] = field(default_factory=dict[str, Json])
    kept: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Experiment and commit of each keep, in order."""
    wrong: list[str] = field(default_factory=list[str])

    def tell(self, rows: Iterable[Row]) -> None:
        """Take the rows in."""
        tried: dict[int, Json] = {}
        for row in rows:
            body = json.loads(row.body)
            if row.kind == "began":
                self._begin(body)
            elif row.kind == "tried":
                tried[row.seq] = body
                self._try(body)
            elif row.kind == "measured":
                self._measure(body, tried[body["trials_seq"]]["trials"])
            elif row.kind == "judged":
                self._judge(body)
            elif row.kind == "decided":
                self._decide(body)
            elif row.kind == "tampered":
                self.wrong.append(f"row {row.seq} says that something was changed from outside: {row.body[:300]}")

    def _begin(self, began: Json) -> None:
        if began["n"] != len(self.candidates):
            self.wrong.append(f"experiment {began['n']} began as number {len(self.candidates)}")
        self.candidates.append(Candidate(began["n"], began))

    def _try(self, tried: Json) -> None:
        """See that what counted stays as it was when the run is taken up again."""
        run, now = tried["run"], {trial["id"]: trial for trial in tried["trials"]}
        if len(now) != len(tried["trials"]):
            self.wrong.append(f"run {run} has a trial twice")
        for trial in self.trials.get(run, ()):
            if counts(trial) and now.get(trial["id"]) != trial:
                self.wrong.append(f"trial {trial['id']} of run {run} counted, and was lost or tried anew")
        self.trials[run] = tried["trials"]

    def _measure(self, measured: Json, trials: Sequence[Json]) -> None:
        run = measured["run"]
        self.wrong += [f"run {run['id']}: {what}" for what in differing(measured["score"], score_of(trials))]
        for arm, found in measured.get("arms", {}).items():
            own = [trial for trial in trials if trial.get("arm", "candidate") == arm]
            self.wrong += [f"run {run['id']}, {arm}: {what}" for what in differing(found, score_of(own))]
        self.measured[run["id"]] = measured
        number: int = measured["experiment"]
        candidate = self.candidates[number]
        if run["id"] not in candidate.runs:
            self.wrong += [
                f"run {run['id']} measures anew what run {one} did"
                for one in candidate.runs
                if _subject(self.measured[one]["run"]) == _subject(run)
            ]
            candidate.runs.append(run["id"])
        if run["kind"] == "suite" and is_complete(measured):
            candidate.score = measured["score"]

    def _judge(self, judged: Json) -> None:
        run = self.measured[judged["run"]]["run"]
        duel, judgement = run["duel"], judged["judgement"]
        self.judged[judged["run"]] = judgement
        wins, losses, ties = pairs_of(self.trials[judged["run"]], {*duel["live"], *duel.get("settled", ())})
        if (wins, losses, ties) != (judgement["wins"], judgement["losses"], judgement["ties"]):
            self.wrong.append(f"run {run['id']} was judged by other pairs than {wins} won, {losses} lost, {ties} even")
        is_kept = judgement["outcome"].startswith("kept") and run["kind"] == "confirm"
        if is_kept and not duel.get("margin") and evidence(wins, losses) < max(_PROVEN, duel["threshold"]) - _TOLERANCE:
            self.wrong.append(f"run {run['id']} keeps with evidence {evidence(wins, losses):.2f}")

    def _decide(self, decided: Json) -> None:
        number: int = decided["experiment"]
        candidate = self.candidates[number]
        if decided["decision"] == "keep":
            self._keep(candidate, decided)
        candidate.decided = decided
        candidate.decisions.append(decided["decision"])
        if score_run := decided.get("score_run"):
            candidate.score = self.measured[score_run]["arms"]["score"]

    def _keep(self, candidate: Candidate, decided: Json) -> None:
        commit = decided["kept_commit"]
        if not self.kept:
            if commit != candidate.began["base_commit"] or candidate.score is None:
                self.wrong.append(f"the baseline {candidate.n} was kept unmeasured, or as another commit")
        elif self.kept[-1] != (candidate.n, commit) and candidate.n not in [n for n, _ in self.kept]:
            why = self._why_not(candidate, decided)
            self.wrong += [f"experiment {candidate.n} was kept, but {why}"] if why else []
        if self.kept[-1:] != [(candidate.n, commit)]:
            self.kept.append((candidate.n, commit))

    def _why_not(self, candidate: Candidate, decided: Json) -> str:
        """Say why a keep is none by the rule that decided; empty where it is one."""
        if run := decided.get("score_run"):
            outcome = self.judged.get(run, {}).get("outcome", "not judged")
            return "" if outcome.startswith("kept") and run in candidate.runs else f"its run {run} is {outcome}"
        incumbent = self.candidates[self.kept[-1][0]]
        if candidate.score is None or incumbent.score is None:
            return "it, or the incumbent, has no complete run"
        now, before = candidate.score["passed"], incumbent.score["passed"]
        sizes = [one.began["candidate"]["complexity"] for one in (candidate, incumbent)]
        is_better = now > before or (now == before and sizes[0] < sizes[1])
        return "" if is_better else f"it passes {now}, the incumbent {before}, and it is not simpler"

    def is_crashed(self, candidate: Candidate) -> bool:
        """Tell whether its last run shows a crash."""
        return bool(candidate.runs) and bool(self.measured[candidate.runs[-1]]["crash"])


def _subject(run: Json) -> tuple[str, str, int | None]:
    """Return what a run is about: of an experiment there is one run for each."""
    duel: Json = run.get("duel") or {}
    return run["kind"], run["suite"]["fingerprint"], duel.get("opponent")


def counts(trial: Json) -> bool:
    """Tell whether a trial measured something."""
    failure = trial.get("failure")
    return failure is None or failure["cause"] in COUNTING


def is_complete(measured: Json) -> bool:
    """Tell whether every trial of a run measured something."""
    return measured["run"]["state"] == "complete" and not measured["score"]["unmeasured"]


def score_of(trials: Iterable[Json]) -> Json:
    """Add trials up."""
    scored = [trial for trial in trials if not trial.get("is_impossible")]
    by_task: dict[str, list[Json]] = {}
    for trial in scored:
        by_task.setdefault(trial["task"], []).append(trial)
    tasks = {task: _sum(by_task[task]) for task in sorted(by_task)}
    return {**_sum(scored), "tasks": tasks}


def _sum(trials: Sequence[Json]) -> Json:
    rewards = [trial["reward"] or 0.0 for trial in trials if counts(trial)]
    return {
        "trials": len(trials),
        "passed": sum(trial["passed"] for trial in trials),
        "unmeasured": sum(not counts(trial) for trial in trials),
        "avg_score": sum(rewards) / len(rewards) if rewards else None,
    }


def differing(said: Json, reckoned: Json) -> Iterator[str]:
    """Yield where a score is not what its trials add up to."""
    for name in ("trials", "passed", "unmeasured", "avg_score"):
        if not _is_same(said[name], reckoned[name]):
            yield f"{name} is {said[name]}, its trials say {reckoned[name]}"
    for task in said["tasks"]:
        own = reckoned["tasks"].get(task["task"])
        told = (task["attempts"], task["passed"], task["unmeasured"], task["avg_reward"])
        if own is None or not all(map(_is_same, told, own.values())):
            yield f"of task {task['task']} it says {told}, its trials {own}"


def _is_same(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and math.isclose(one, other))


def pairs_of(trials: Iterable[Json], tasks: set[str]) -> tuple[int, int, int]:
    """Count the pairs of a duel that were won, lost and even; its rounds are complete where nothing goes on."""
    sides: dict[tuple[str, int], dict[str, Json]] = {}
    for trial in trials:
        if trial["task"] in tasks and counts(trial):
            sides.setdefault((trial["task"], trial["attempt"]), {})[trial.get("arm", "candidate")] = trial
    both = [side for side in sides.values() if "candidate" in side and "incumbent" in side]
    found = Counter(side["candidate"]["passed"] - side["incumbent"]["passed"] for side in both)
    return found[1], found[-1], found[0]


def evidence(wins: int, losses: int) -> float:
    """Return the mean of (1 + L)^wins (1 - L)^losses over stakes L from 0 to 1, by Simpson's rule."""
    steps = 2000
    values = [(1 + k / steps) ** wins * (1 - k / steps) ** losses for k in range(steps + 1)]
    weights = [1 if k in {0, steps} else 4 if k % 2 else 2 for k in range(steps + 1)]
    return sum(map(float.__mul__, values, map(float, weights))) / (3 * steps)
