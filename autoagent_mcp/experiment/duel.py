"""A candidate beside another harness: what is to be tried next, and what the trials show. Pure.

The trials are those of one run, told apart by their arm: the candidate's, the incumbent's, and once the candidate is
chosen its fresh ones, which are its score.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from autoagent_mcp.experiment.book import Tally
from autoagent_mcp.experiment.evidence import CONFIRMED, FEWEST_TASKS, NO_WORSE, ROUNDS, margin_for, threshold_for
from autoagent_mcp.experiment.power import suite_power
from autoagent_mcp.experiment.race import (
    VOID_PERCENT,
    Pair,
    Race,
    Standing,
    State,
    is_settled,
    review_standing,
    standing,
)
from autoagent_mcp.models.experiment import Judgement, Outcome
from autoagent_mcp.models.run import Duel, Run, RunKind, RunState, Score, TaskScore
from autoagent_mcp.models.trial import Arm, Trial, Usage
from autoagent_mcp.run.run import Schedule, Slot

SCORE_RUNS = 2
"""Fresh runs of what was kept: they alone are its score."""
NOT_ON_HIDDEN = "not on the hidden tasks"
"""Stands in the reason of a judgement where the hidden tasks decided, and in no other."""

_SHOWN = 3
_FEW_TASKS = (
    "With so few visible tasks ({tasks}) no change of usual size can be proven; a person must look at what is kept. "
    "{fewest} tasks or more can tell a gain from luck."
)


def draw(
    opponent: int,
    door: Sequence[TaskScore],
    tallies: Mapping[str, Tally],
    *,
    is_simpler: bool,
    by_reward: bool,
    reflection: str,
) -> Duel:
    """Lay down a duel with the incumbent.

    Args:
        opponent: The incumbent's experiment.
        door: The candidate's first run, task by task.
        tallies: The incumbent's trials by task.
        is_simpler: Whether the candidate may be kept for being no worse: then no task is settled beforehand.
        by_reward: Whether rewards are compared, and not passes.
        reflection: The client's words for the keep.
    """
    names = tuple(task.task for task in door)
    settled = (
        ()
        if is_simpler
        else tuple(
            task.task for task in door if _is_settled(task, tallies.get(task.task, Tally()), by_reward=by_reward)
        )
    )
    live = tuple(name for name in names if name not in settled)
    return Duel(
        opponent=opponent,
        live=live,
        settled=settled,
        threshold=NO_WORSE if is_simpler else threshold_for(len(names)),
        rounds=ROUNDS,
        by_reward=by_reward,
        margin=margin_for(len(names)) if is_simpler else 0.0,
        most_trials=2 * len(live) * ROUNDS + 2 * len(settled) + SCORE_RUNS * len(names),
        reflection=reflection,
    )


def most_text(duel: Duel, door: Score) -> str:
    """Say what a duel may take at most, reckoned with what the trials of the first run cost."""
    cost = door.usage.cost_usd
    money = "at unknown cost" if cost is None else f"about ${cost / max(1, door.trials) * duel.most_trials:.2f}"
    return f"at most {duel.most_trials} trials, {money}"


def draw_review(
    baseline: int, tasks: Sequence[str], *, by_reward: bool, rounds: int = ROUNDS, is_fixed_size: bool = False
) -> Duel:
    """Lay down the champion's test beside the baseline, by its experiment."""
    return Duel(
        opponent=baseline,
        live=tuple(tasks),
        threshold=CONFIRMED,
        rounds=rounds,
        by_reward=by_reward,
        is_fixed_size=is_fixed_size,
        most_trials=2 * len(tasks) * rounds,
    )


def grant(duel: Duel, rounds: int = ROUNDS) -> Duel:
    """Return the duel with more rounds; what they have shown so far stays."""
    more = 2 * len(duel.live) * rounds
    return duel.model_copy(update={"rounds": duel.rounds + rounds, "most_trials": duel.most_trials + more})


def stand(duel: Duel, trials: Iterable[Trial], kind: RunKind) -> Standing:
    """Say how a duel stands."""
    pairs = _pairs(duel, trials)
    if kind is RunKind.REVIEW:
        return review_standing(duel.live, pairs, duel.rounds, is_fixed_size=duel.is_fixed_size)
    race = Race(live=duel.live, settled=duel.settled, threshold=duel.threshold, rounds=duel.rounds, margin=duel.margin)
    return standing(race, pairs)


def pairing(duel: Duel, kind: RunKind, run_id: str) -> Schedule:
    """Return the schedule of the pairs, round by round, the two harnesses' trials shuffled together."""

    def next_slots(trials: Mapping[str, Trial]) -> Sequence[Slot]:
        found = stand(duel, trials.values(), kind)
        attempt = max(1, found.round)  # a settled task's only pair is its first
        slots = [Slot(task, attempt, arm) for task in found.tasks for arm in (Arm.CANDIDATE, Arm.INCUMBENT)]
        missing = [slot for slot in slots if slot.id not in trials]
        random.Random(f"{run_id} {found.round}").shuffle(missing)  # noqa: S311 - an order, no secret
        return missing

    return next_slots


def scoring(tasks: Sequence[str]) -> Schedule:
    """Return the schedule of the fresh trials that become the score."""

    def next_slots(trials: Mapping[str, Trial]) -> Sequence[Slot]:
        slots = (Slot(task, number, Arm.SCORE) for number in range(1, SCORE_RUNS + 1) for task in tasks)
        return [slot for slot in slots if slot.id not in trials]

    return next_slots


def judge(run: Run, duel: Duel, *, is_vetoed: bool, cheats: Sequence[str]) -> Judgement:
    """Say what a duel with the incumbent led to; takes up to half a second for a suite that was not judged before.

    Args:
        run: The run with its trials, complete or cut by a budget.
        duel: What it had to settle.
        is_vetoed: Whether the hidden tasks speak against the candidate.
        cheats: What shows that it cheats.
    """
    found = stand(duel, run.trials, RunKind.CONFIRM)
    if cheats:
        return _judgement(run, duel, found, Outcome.REFUSED, f"It cheats. {' '.join(cheats[:_SHOWN])}")
    if run.state is RunState.CUT and found.state in {State.RACING, State.PROVEN}:
        return _judgement(run, duel, found, Outcome.UNDECIDED, f"{run.error} {_pairs_text(found)}.")
    if found.state is State.PROVEN and not is_vetoed and _is_score_void(run):
        reason = "It is proven, but a tenth or more of the fresh trials for its score measured nothing."
        return _judgement(run, duel, found, Outcome.UNDECIDED, reason)
    tasks = _tasks(duel)
    outcome, reason = _outcome(found, tasks, is_vetoed=is_vetoed, margin=duel.margin)
    return _judgement(run, duel, found, outcome, f"{reason} {few_tasks(tasks)}".rstrip())


def judge_review(run: Run, duel: Duel, *, is_worse_on_hidden: bool | None = None) -> Judgement:
    """Say what the champion's test beside the baseline led to: `kept` confirms it, `refused` rolls it back.

    Args:
        run: The run with its trials, complete.
        duel: What it had to settle.
        is_worse_on_hidden: What the hidden tasks say; None where they were not asked.
    """
    found = stand(duel, run.trials, RunKind.REVIEW)
    outcome, reason = _review_outcome(found, _tasks(duel), is_vetoed=bool(is_worse_on_hidden))
    judgement = _judgement(run, duel, found, outcome, reason)
    return judgement.model_copy(update={"is_worse_on_hidden": is_worse_on_hidden})


def _review_outcome(found: Standing, tasks: int, *, is_vetoed: bool) -> tuple[Outcome, str]:
    pairs = _pairs_text(found)
    if found.state is State.BEATEN:
        return Outcome.REFUSED, f"The baseline does better: {pairs}."
    if found.state is State.CONFIRMED and tasks >= FEWEST_TASKS:
        if is_vetoed:
            return Outcome.PROVISIONAL, f"It does better than the baseline here ({pairs}), but {NOT_ON_HIDDEN}."
        return Outcome.KEPT, f"Confirmed beside the baseline: {pairs}."
    return Outcome.PROVISIONAL, f"Neither confirmed nor beaten by the baseline: {pairs}. {few_tasks(tasks)}".rstrip()


def _judgement(run: Run, duel: Duel, found: Standing, outcome: Outcome, reason: str) -> Judgement:
    tasks = _tasks(duel)
    return Judgement(
        outcome=outcome,
        reason=reason,
        evidence=found.evidence,
        wins=found.wins,
        losses=found.losses,
        ties=found.ties,
        difference_points=found.difference,
        low_points=found.low,
        high_points=found.high,
        smallest_effect_points=suite_power(tasks, round(_pass_rate(run), 2)).smallest_effect_points,
        trials=len(run.trials),
        cost_usd=sum((trial.usage for trial in run.trials), Usage()).cost_usd,
    )


def _pass_rate(run: Run) -> float:
    """Return the share of the incumbent's trials that passed."""
    passed = [trial.passed for trial in run.trials if trial.arm is Arm.INCUMBENT and trial.counts]
    return sum(passed) / max(1, len(passed))


def few_tasks(tasks: int) -> str:
    """Say that a suite is too small to prove anything; empty where it is not."""
    return _FEW_TASKS.format(tasks=tasks, fewest=FEWEST_TASKS) if tasks < FEWEST_TASKS else ""


def _outcome(found: Standing, tasks: int, *, is_vetoed: bool, margin: float) -> tuple[Outcome, str]:
    pairs = _pairs_text(found)
    if is_vetoed:
        return Outcome.REFUSED, f"It does better here ({pairs}), but {NOT_ON_HIDDEN}."
    if found.state is State.HOPELESS:
        return Outcome.REFUSED, f"Beside the incumbent it is no better: {pairs}."
    if found.state is State.INVALID:
        return Outcome.UNDECIDED, "A tenth of the pairs or more measured nothing."
    if found.state is not State.PROVEN:
        return Outcome.UNDECIDED, f"After {found.round} rounds it is not proven: {pairs}."
    what = "no worse than the incumbent, and simpler" if margin else "better than the incumbent"
    if found.evidence >= CONFIRMED and tasks >= FEWEST_TASKS:
        return Outcome.KEPT, f"It is {what}: {pairs}."
    return Outcome.PROVISIONAL, f"It is probably {what}: {pairs}. It will be tested against the baseline again."


def _is_score_void(run: Run) -> bool:
    scores = [trial for trial in run.trials if trial.arm is Arm.SCORE]
    void = sum(not trial.counts for trial in scores)
    return void > 0 and 100 * void >= VOID_PERCENT * len(scores)


def _tasks(duel: Duel) -> int:
    """Count the tasks that prove something: not those that nobody can solve."""
    return len(duel.live) + len(duel.settled)


def _pairs_text(found: Standing) -> str:
    return f"{found.wins} pairs won and {found.losses} lost, evidence {found.evidence:.1f}"


def _is_settled(task: TaskScore, tally: Tally, *, by_reward: bool) -> bool:
    measured = task.attempts - task.unmeasured
    return is_settled(tally.gained, tally.attempts, task.gained(by_reward=by_reward), measured)


def _pairs(duel: Duel, trials: Iterable[Trial]) -> list[Pair]:
    by_place = {(trial.task, trial.attempt, trial.arm): trial for trial in trials}
    found: list[Pair] = []
    for (task, attempt, arm), trial in by_place.items():
        other = by_place.get((task, attempt, Arm.INCUMBENT))
        if arm is Arm.CANDIDATE and other is not None:
            number = 0 if task in duel.settled else attempt
            found.append(Pair(task=task, round=number, difference=difference(trial, other, by_reward=duel.by_reward)))
    return found


def difference(candidate: Trial, incumbent: Trial, *, by_reward: bool) -> float | None:
    """Return by how much the candidate's trial is better, from -1 to 1; None where one of the two measured nothing."""
    if not (candidate.counts and incumbent.counts):
        return None
    return _worth(candidate, by_reward=by_reward) - _worth(incumbent, by_reward=by_reward)


def _worth(trial: Trial, *, by_reward: bool) -> float:
    return min(1.0, max(0.0, trial.reward or 0.0)) if by_reward else float(trial.passed)
