"""Judge what a night left behind, by nothing but git, the ledger's file, results.tsv, the client's journal and /proc.

python benchmarks/night_judge.py WORKSPACE [--journal FILE] [--state FOLDER] [--nobody-below PID] [--json]

It imports nothing of autoagent_mcp: what it knows of the ledger is written down here a second time, so that a mistake
of the one is seen by the other. It reckons anew

* the chain of hashes, in the database and in refs/autoagent/ledger;
* each run's score out of its trials, and that no trial that counted was lost or tried anew when a run was taken up;
* each decision: by the seed's rule out of the scores, by evidence out of the pairs;
* the history, which must hold exactly the kept commits, each with the candidate's files and no others changed;
* the refs, one for each candidate; results.tsv, row by row; what the client was told (its journal);
* and that no lock, unfinished file or process is left. No run may go on while it looks.

Prints what it counted and what is wrong; the exit status is 1 where something is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from night_story import Candidate, Row, Story, counts

_LEDGER = "refs/autoagent/ledger"
_EXPERIMENTS = "refs/autoagent/experiments"
_INCUMBENT = "refs/autoagent/incumbent"
_UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}")
_EDITABLE = ("agent.py", ".agent")


class Git:
    """The workspace's repository, read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, *words: str, data: str | None = None) -> str:
        """Run git and return what it says, nothing where it fails."""
        done = subprocess.run(
            ["git", *words], cwd=self._folder, input=data, capture_output=True, text=True, check=False, errors="replace"
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    def objects(self, names: Sequence[str]) -> list[str]:
        """Return the hashes that names stand for, "" where there is no such object."""
        found = self("cat-file", "--batch-check=%(objectname)", data="".join(f"{name}\n" for name in names))
        return ["" if " " in line else line for line in found.splitlines()]


class Judge:
    """Looks at one workspace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._git = Git(folder)
        self.rows: list[Row] = []
        self.story = Story()
        self.wrong: list[str] = []

    def look(self) -> None:
        """Look at everything that is in the workspace."""
        self._read_ledger()
        self.wrong += self._chain()
        self.wrong += self._published()
        self.story.tell(self.rows)
        self.wrong += self.story.wrong
        self.wrong += self._history()
        self.wrong += self._refs()
        self.wrong += self._results()
        self.wrong += self._trials()

    def _read_ledger(self) -> None:
        path = self._folder / ".autoagent" / "ledger.sqlite3"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            (said,) = connection.execute("PRAGMA integrity_check").fetchone()
            found = connection.execute("SELECT seq, at, kind, body, previous_sha256, sha256 FROM entries ORDER BY seq")
            self.rows = [Row(*row) for row in found]
        if said != "ok":
            self.wrong.append(f"SQLite says of the ledger: {said}")

    def _chain(self) -> Iterator[str]:
        before = "0" * 64
        for number, row in enumerate(self.rows):
            if (row.seq, row.previous_sha256, row.sha256) != (number, before, row.expected_sha256):
                yield f"row {number} breaks the chain"
            before = row.sha256

    def _published(self) -> Iterator[str]:
        commits = self._git("rev-list", "--reverse", _LEDGER).splitlines()
        lines = [line for one in commits for line in self._git("show", f"{one}:ledger.jsonl").splitlines()]
        if len(lines) != len(self.rows):
            yield f"{_LEDGER} has {len(lines)} lines, the database {len(self.rows)} rows"
        for line, row in zip(lines, self.rows, strict=False):
            if json.loads(line) != {**row._asdict(), "body": json.loads(row.body)}:
                yield f"line {row.seq} of {_LEDGER} is not the row"

    def _history(self) -> Iterator[str]:
        if not self.story.kept:
            return
        history = self._git("rev-list", "--first-parent", "--reverse", "HEAD").splitlines()
        wanted = list(dict.fromkeys(commit for _, commit in self.story.kept))
        first = history.index(wanted[0]) if wanted[0] in history else len(history)
        if history[first:] != wanted:
            yield f"the branch has {[one[:7] for one in history[first:]]}, kept were {[one[:7] for one in wanted]}"
        for n, commit in self.story.kept[1:]:
            yield from self._kept_commit(n, commit)
        if self._git("rev-parse", _INCUMBENT) != wanted[-1]:
            yield f"{_INCUMBENT} is not the commit kept last"

    def _kept_commit(self, n: int, commit: str) -> Iterator[str]:
        changed = self._git("diff-tree", "-r", "--name-only", f"{commit}^", commit).splitlines()
        if foreign := [name for name in changed if name.split("/")[0] not in _EDITABLE]:
            yield f"the commit of experiment {n} changes {foreign}"
        wanted = self._git("ls-tree", "-r", f"{_EXPERIMENTS}/{n}")
        if self._git("ls-tree", "-r", commit, "--", *_EDITABLE) != wanted:
            yield f"the commit of experiment {n} has other files than its candidate"

    def _refs(self) -> Iterator[str]:
        listed = self._git("for-each-ref", "--format=%(refname) %(objectname)", "refs/autoagent").splitlines()
        refs = dict(line.split(" ") for line in listed)
        known = {f"{_EXPERIMENTS}/{one.n}": one.began["candidate"] for one in self.story.candidates}
        yet_to_begin = f"{_EXPERIMENTS}/{len(known)}"  # a snapshot comes before its experiment
        yield from (
            f"there is a ref {one}" for one in sorted(refs.keys() - known.keys() - {_LEDGER, _INCUMBENT, yet_to_begin})
        )
        trees = self._git.objects([f"{one['commit']}^{{tree}}" for one in known.values()]) if known else []
        for (ref, candidate), tree in zip(known.items(), trees, strict=True):
            if tree != candidate["tree"]:
                yield f"git has lost the candidate of {ref}"
            is_it = refs.get(ref) == candidate["commit"]
            if not is_it and self._git("merge-base", candidate["commit"], ref) != candidate["commit"]:
                yield f"{ref} does not hold its candidate"

    def _results(self) -> Iterator[str]:
        story = self.story
        shown = [
            one for one in story.candidates if one.score is not None or one.decided is not None or story.is_crashed(one)
        ]
        path = self._folder / "results.tsv"
        lines = path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else []
        if len(lines) != len(shown):
            yield f"results.tsv has {len(lines)} rows for {len(shown)} experiments"
        for line, candidate in zip(lines, shown, strict=False):
            if line.split("\t")[:6] != self._row(candidate):
                yield f"results.tsv says {line.split(chr(9))[:6]}, experiment {candidate.n} is {self._row(candidate)}"

    def _trials(self) -> Iterator[str]:
        """Compare the trials on disk with those in the ledger: none that counts may be in the one alone."""
        for path in sorted(self._folder.glob(".autoagent/runs/*/*/trial.json")):
            run, name = path.parent.parent.name, path.parent.name
            entered = {trial["id"]: trial for trial in self.story.trials.get(run, ())}
            trial = json.loads(path.read_bytes())
            is_entered = name in entered and all(
                entered[name].get(key) == trial[key] for key in ("reward", "passed", "started_at", "duration_sec")
            )
            if counts(trial) and not name.endswith(".failed") and not is_entered:
                yield f"trial {name} of run {run} is on disk and not, or not so, in the ledger"

    def _row(self, candidate: Candidate) -> list[str]:
        story, score = self.story, candidate.score
        decision = (candidate.decided or {}).get("decision")
        is_crash = decision == "crash" or story.is_crashed(candidate)
        costs = [story.measured[run]["score"]["usage"].get("cost_usd", 0.0) for run in candidate.runs]
        tasks = {task["task"]: task["avg_reward"] for task in score["tasks"]} if score else {}
        rounded = {task: None if reward is None else round(reward, 4) for task, reward in tasks.items()}
        return [
            candidate.commit[:7],
            "" if score is None or score["avg_score"] is None else f"{score['avg_score']:.4f}",
            f"{score['passed']}/{score['trials']}" if score else "",
            json.dumps(rounded) if score else "",
            "unknown" if None in costs else f"{sum(costs):.4f}",
            "keep" if decision == "keep" else "crash" if is_crash else "discard",
        ]

    def figures(self) -> dict[str, int]:
        """Return what was counted."""
        decided = Counter((one.decided or {}).get("decision", "open") for one in self.story.candidates)
        kinds = Counter(one["run"]["kind"] for one in self.story.measured.values())
        trials = [trial for of_run in self.story.trials.values() for trial in of_run]
        return {
            "rows": len(self.rows),
            "experiments": len(self.story.candidates),
            **{name: decided[name] for name in ("keep", "revert", "crash", "open")},
            **{f"{kind} runs": kinds[kind] for kind in sorted(kinds)},
            "trials": len(trials),
            "trials that measured nothing": sum(not counts(trial) for trial in trials),
        }


def told(story: Story, journal: Path) -> Iterator[str]:
    """Yield what the client was told and the ledger does not have; each line of the journal is one event.

    `began` with `words`: the client asked for an experiment, which may have come to nothing. `measured` with `run`,
    `passed` and `trials`, and `decided` with `words` and `decision`: it was told so.
    """
    by_words = Counter(one.began["description"] for one in story.candidates)
    first = {one.began["description"]: one for one in reversed(story.candidates)}
    for line in journal.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "measured":
            score = story.measured.get(event["run"], {}).get("score", {})
            said, entered = (event["passed"], event["trials"]), (score.get("passed"), score.get("trials"))
            if said != entered:
                yield f"run {event['run']} was told as {said}, the ledger has {entered}"
        elif event["event"] == "decided":
            candidate = first.get(event["words"])
            decisions = candidate.decisions if candidate else []
            if event["decision"] not in decisions:
                yield f"{event['words']!r} was told as {event['decision']}, the ledger has {decisions}"
        most = by_words[event.get("words", "")]
        if most > 1:
            yield f"{event['words']!r} is in the ledger {most} times"


def unfinished(folders: Iterable[Path]) -> Iterator[str]:
    """Yield locks of git and files that were begun and never took their place."""
    for folder in folders:
        for path in folder.rglob("*"):
            is_ours = _UNFINISHED.fullmatch(path.name) and not {"artifacts", "verifier"} & {*path.parts}
            if (path.suffix == ".lock" and ".git" in path.parts) or is_ours:
                yield f"{path} is left"


def parents_of_processes() -> dict[int, int]:
    """Return the parent of each process."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")
        except OSError:
            continue
        parents[int(name.split(" ")[0])] = int(rest.split()[1])
    return parents


def below(pid: int) -> list[str]:
    """Return the command lines of the processes that come from one, without this one and what it started."""
    parents = parents_of_processes()

    def comes_from(process: int, root: int) -> bool:
        while process in parents and process != root:
            process = parents[process]
        return process == root

    found = [one for one in parents if one != pid and comes_from(one, pid) and not comes_from(one, os.getpid())]
    return [_command_line(one) for one in found]


def _command_line(pid: int) -> str:
    try:
        return f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes().replace(bytes(1), b' ').decode(errors='replace')}"
    except OSError:
        return f"{pid}, which has just ended"


def main() -> int:
    """Judge, print, and tell by the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--state", type=Path, action="append", default=[], help="a folder to search for leftovers, too")
    parser.add_argument("--nobody-below", type=int, metavar="PID", help="a process that must have no descendants")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    judge = Judge(options.workspace)
    judge.look()
    wrong = [*judge.wrong, *unfinished([options.workspace / ".git", options.workspace / ".autoagent", *options.state])]
    wrong += told(judge.story, options.journal) if options.journal else []
    wrong += [f"still running: {one}" for one in below(options.nobody_below)] if options.nobody_below else []
    if options.json:
        print(json.dumps({"figures": judge.figures(), "wrong": wrong}))
    else:
        print(*(f"{name}: {count}" for name, count in judge.figures().items()), sep="\n")
        print(*(f"WRONG: {one}" for one in wrong or ["nothing"]), sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
