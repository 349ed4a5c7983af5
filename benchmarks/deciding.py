"""The rule that decides, beside the seed's rule, where every truth is known.

uv run python benchmarks/deciding.py [--episodes 400] [--tasks 20 50] [--seed 0] [--json]

* null: 50 candidates that are identical to the incumbent. Every keep is luck.
* hard: 45 % of the candidates change nothing, 35 % harm, 10 % help (by 3.5 points on average), 10 % overfit.
* easy: 50 % change nothing, 25 % harm, 15 % help (by 7 points on average), 10 % overfit.

Hard and easy end when 200 suite runs are paid for, whatever for, so the seed's rule tries more candidates. The code
that judges is the product's own. Gains are in points of the pass rate. With --json the last line is one object.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from random import Random
from statistics import fmean
from typing import Any

from simulated_night import MIXES, Harness, Night, World, evidence_night, seed_night

CANDIDATES, BUDGET = 50, 200
RULES: dict[str, Callable[[World, Harness, int], Night]] = {"seed": seed_night, "evidence": evidence_night}
COLUMNS = {
    "candidates": ("candidates", "{:.0f}"),
    "suite_runs": ("suite runs", "{:.0f}"),
    "keeps": ("keeps", "{:.1f}"),
    "false_keep_share": ("false keeps", "{:.0%}"),
    "true_gain": ("true gain", "{:+.1f}"),
    "unseen_gain": ("unseen gain", "{:+.1f}"),
    "reported_minus_true": ("reported - true", "{:+.1f}"),
    "ends_worse": ("ends worse", "{:.0%}"),
}


def row(scenario: str, rule: str, tasks: int, episodes: int, seed: int) -> dict[str, Any]:
    """Take many nights of one kind and return their means."""
    is_null = scenario == "null"
    limit, budget = (CANDIDATES, math.inf) if is_null else (BUDGET, BUDGET)
    nights: list[tuple[Night, Harness, float]] = []
    for episode in range(episodes):
        world = World(Random(f"{seed} {scenario} {tasks} {episode}"), MIXES[scenario], tasks, budget)  # noqa: S311 - dice
        baseline = world.baseline()
        nights.append((RULES[rule](world, baseline, limit), baseline, world.spent))
    unseen = [100 * (night.champion.unseen_rate() - baseline.unseen_rate()) for night, baseline, _ in nights]
    true = [100 * (night.champion.true_rate() - baseline.true_rate()) for night, baseline, _ in nights]
    keeps = sum(night.keeps for night, _, _ in nights)
    return {
        "scenario": scenario,
        "rule": rule,
        "tasks": tasks,
        "candidates": round(fmean(night.candidates for night, _, _ in nights), 1),
        "suite_runs": round(fmean(spent for _, _, spent in nights), 1),
        "keeps": round(keeps / episodes, 2),
        "false_keep_share": round(sum(night.false_keeps for night, _, _ in nights) / max(1, keeps), 3),
        "true_gain": round(fmean(true), 2),
        "unseen_gain": round(fmean(unseen), 2),
        "unseen_gain_error": round(_standard_error(unseen), 2),
        "reported_minus_true": round(
            fmean(100 * (night.score - night.champion.true_rate()) for night, _, _ in nights), 2
        ),
        "ends_worse": round(sum(gain < 0 for gain in unseen) / episodes, 3),
    }


def _standard_error(values: list[float]) -> float:
    mean = fmean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1) / len(values))


def _print_table(rows: list[dict[str, Any]]) -> None:
    print(f"{'':21}" + "".join(f"{title:>16}" for title, _ in COLUMNS.values()))
    for one in rows:
        cells = (form.format(one[name]) for name, (_, form) in COLUMNS.items())
        print(f"{one['scenario']:6}{one['tasks']:>4} {one['rule']:10}" + "".join(f"{cell:>16}" for cell in cells))
    print()
    for naive, evident in zip(rows[::2], rows[1::2], strict=True):
        if naive["scenario"] != "null":
            print(_who_is_ahead(naive, evident))


def _who_is_ahead(naive: dict[str, Any], evident: dict[str, Any]) -> str:
    gap = evident["unseen_gain"] - naive["unseen_gain"]
    doubt = 2 * math.hypot(evident["unseen_gain_error"], naive["unseen_gain_error"])
    ahead = "Neither rule" if abs(gap) <= doubt else "The evidence rule" if gap > 0 else "The seed's rule"
    return (
        f"{naive['scenario']}, {naive['tasks']} tasks: {ahead} is ahead on unseen tasks "
        f"(evidence - seed: {gap:+.1f} points, give or take {doubt:.1f})."
    )


def main() -> None:
    """Take the nights and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=400, help="nights of each kind")
    parser.add_argument("--tasks", type=int, nargs="+", default=[20, 50], help="visible tasks; half as many are hidden")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    rows = [
        row(scenario, rule, tasks, options.episodes, options.seed)
        for scenario in MIXES
        for tasks in options.tasks
        for rule in RULES
    ]
    _print_table(rows)
    if options.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
