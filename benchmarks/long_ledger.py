"""A workspace with the shipped tasks and as many experiments as wanted, written through the product's own ledger.

Every experiment has a commit of its own below refs/autoagent, a run of the whole suite with all its trials, a
comparison with the incumbent and a decision; one in eight is kept and stands in the branch's history.
"""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from autoagent_mcp import config as config_file
from autoagent_mcp import task as task_files
from autoagent_mcp.experiment.book import BEGAN, DECIDED, MEASURED, TRIED
from autoagent_mcp.experiment.comparison import compare
from autoagent_mcp.harness import boundary
from autoagent_mcp.ledger import Ledger
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.experiment import Began, Candidate, ChangeKind, Comparison, Decided, Decision, Measured, Tried
from autoagent_mcp.models.run import Run, RunKind, RunState, Score, Suite
from autoagent_mcp.models.trial import Trial, Usage
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.run.score import score
from autoagent_mcp.run.suite import build_suite
from autoagent_mcp.workspace import Workspace

_ROOT = Path(__file__).parents[1]
_KEPT_EACH = 8
_ENTRIES = 4
"""Of each experiment."""
_BRANCH = "refs/heads/main"
_EXPERIMENTS = "refs/autoagent/experiments"
_REQUIREMENTS = ".agent/requirements.txt"
_KINDS = tuple(ChangeKind)
_WHEN = datetime(2026, 1, 1, tzinfo=timezone.utc)
_COMMITTER = b"committer bench <bench@localhost> 1767225600 +0000\n"
_LESSONS = (
    "Reading every file first used up the turns before the answer was written.",
    "Asking the model to check its own answer made it change right answers as often as wrong ones.",
    "A longer system prompt helped with nothing and cost a fifth more.",
    "Trying a failed command again without change never helped.",
    "Cutting outputs at 2,000 characters hid the error at the end of the log.",
)


class _Made(NamedTuple):
    """A candidate as it lies in git."""

    candidate: Candidate
    kept_commit: str | None


async def make_workspace(folder: Path, experiments: int) -> Workspace:
    """Make it; the baseline is one of the experiments."""
    _copy(folder)
    workspace = Workspace(folder=folder)
    candidates = _commit_candidates(workspace, experiments)
    ledger = await Ledger.open(workspace)
    try:
        for kind, body in _entries(await _suite(workspace), candidates):
            await ledger.append(kind, body)
        await ledger.seal()
        lines = await ledger.lines()
    finally:
        await ledger.close()
    each = [lines[start : start + _ENTRIES] for start in range(0, len(lines), _ENTRIES)]
    _import(folder, (_commit("refs/autoagent/ledger", {"ledger.jsonl": "\n".join([*some, ""])}) for some in each))
    _git(folder, "update-ref", "refs/autoagent/incumbent", "HEAD")
    return workspace


def _copy(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("agent.py", "program.md", ".gitignore"):
        shutil.copy2(_ROOT / name, folder / name)
    for name in ("tasks", ".agent"):
        shutil.copytree(_ROOT / name, folder / name)
    settings = (_ROOT / "autoagent.toml").read_text(encoding="utf-8").replace("[run]", '[run]\nbackend = "bubblewrap"')
    (folder / "autoagent.toml").write_text(settings, encoding="utf-8")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "Begin")):
        _git(folder, *words)


async def _suite(workspace: Workspace) -> Suite:
    config = config_file.load(workspace.folder)
    tasks, excluded = task_files.load_visible(workspace.folder, config)
    async with open_bench(workspace, config) as bench:
        return build_suite(tasks, excluded, attempts=1, config=config, backend=bench.backend)[1]


def _commit_candidates(workspace: Workspace, experiments: int) -> list[_Made]:
    """Commit all candidates and, of those that are kept, the branch; the working files are then the last kept one's."""
    folder, agent = workspace.folder, workspace.agent.read_text(encoding="utf-8")
    requirements = {_REQUIREMENTS: (folder / _REQUIREMENTS).read_text(encoding="utf-8")}
    begin = _git(folder, "rev-parse", "HEAD")
    trials = [
        {"agent.py": agent.replace('"""', f'"""Try {number}: ', 1) if number else agent}
        for number in range(experiments)
    ]
    refs = [f"{_EXPERIMENTS}/{number}" for number in range(experiments)]
    _import(folder, (_commit(ref, own | requirements) for ref, own in zip(refs, trials, strict=True)))
    kept_ones = (_commit(_BRANCH, own) for own in trials[_KEPT_EACH::_KEPT_EACH])
    _import(folder, itertools.chain([b"reset %s\nfrom %s^0\n\n" % (_BRANCH.encode(), _BRANCH.encode())], kept_ones))
    _git(folder, "reset", "-q", "--hard")
    kept = iter([begin, *_git(folder, "rev-list", "--reverse", f"{begin}..HEAD").split()])
    found = _git(folder, "for-each-ref", "--format=%(refname) %(objectname) %(tree)", _EXPERIMENTS)
    commits = {ref: (commit, tree) for ref, commit, tree in map(str.split, found.splitlines())}
    last = {name: text.encode() for name, text in (trials[_incumbent(experiments - 1)] | requirements).items()}
    identities = {_incumbent(experiments - 1): boundary.identity(last)}
    return [
        _Made(
            candidate=Candidate(
                commit=commits[ref][0],
                tree=commits[ref][1],
                identity=identities.get(number, f"{number:064x}"),  # a true one takes 10 ms
                complexity=2_000 + number % 50,
            ),
            kept_commit=next(kept) if number == _incumbent(number) else None,
        )
        for number, ref in enumerate(refs)
    ]


def _entries(suite: Suite, made: Sequence[_Made]) -> Iterator[tuple[str, Frozen]]:
    dice = random.Random(1)  # noqa: S311 - a benchmark's trials
    scores: dict[int, Score] = {}
    for number, one in enumerate(made):
        parent = _incumbent(number - 1) if number else None
        run = _run(number, suite, one.candidate, dice)
        yield (
            BEGAN,
            Began(
                n=number,
                description=run.description,
                candidate=one.candidate,
                parent=None if parent is None else made[parent].candidate.tree,
                base_commit=made[parent or 0].kept_commit or "",
                kind_of_change=() if parent is None else (_KINDS[number % len(_KINDS)],),
            ),
        )
        yield TRIED, Tried(run=run.id, trials=run.trials)
        found = score(run.trials)
        yield (
            MEASURED,
            _measured(
                number,
                run,
                found,
                None
                if parent is None
                else compare(scores[parent], found, complexity_before=2_000, complexity_now=2_000),
            ),
        )
        lesson = f"{_LESSONS[number % len(_LESSONS)]} Seen in experiment {number}."
        is_kept = one.kept_commit is not None
        scores = {number: found} if is_kept else scores
        yield (
            DECIDED,
            Decided(
                experiment=number,
                decision=Decision.KEEP if is_kept else Decision.REVERT,
                reason="The evidence of its fresh trials reached the bound." if is_kept else lesson,
                kept_commit=one.kept_commit,
            ),
        )


def _measured(number: int, run: Run, found: Score, comparison: Comparison | None) -> Measured:
    return Measured(
        experiment=number,
        run=run.model_copy(update={"trials": ()}),
        trials_seq=number * _ENTRIES + 1,
        score=found,
        comparison=comparison,
        crash="",
    )


def _run(number: int, suite: Suite, candidate: Candidate, dice: random.Random) -> Run:
    trials = tuple(_trial(task, dice) for task in suite.tasks)
    return Run(
        id=f"{number + 1:04}",
        kind=RunKind.SUITE,
        description=f"Hypothesis {number}: say the expected file's name again at the end of the prompt.",
        candidate=candidate.tree,
        suite=suite,
        state=RunState.COMPLETE,
        started_at=_WHEN,
        finished_at=_WHEN,
        trials=trials,
        spent=sum((trial.usage for trial in trials), Usage()),
        duration_sec=sum(trial.duration_sec for trial in trials) / 8,
    )


def _trial(task: str, dice: random.Random) -> Trial:
    passed = dice.choice((True, False))
    return Trial(
        id=f"{task}__1",
        task=task,
        attempt=1,
        reward=float(passed),
        passed=passed,
        usage=Usage(model_calls=8, prompt_tokens=9_000, completion_tokens=900, cost_usd=dice.random() / 100),
        commands=7,
        started_at=_WHEN,
        duration_sec=round(dice.random() * 60, 3),
        phases_sec={"sandbox": 0.4, "harness": 20.1, "verifier": 1.2},
    )


def _incumbent(number: int) -> int:
    """Return which experiment was the last to be kept, up to this one."""
    return number - number % _KEPT_EACH


def _commit(ref: str, files: Mapping[str, str]) -> bytes:
    """Say a commit on top of a ref as git-fast-import(1) reads it; the ref's other files stay."""
    changes = [b"M 100644 inline %s\n%s" % (name.encode(), _data(text)) for name, text in files.items()]
    return b"".join([b"commit %s\n" % ref.encode(), _COMMITTER, _data("Benchmark"), *changes])


def _data(text: str) -> bytes:
    content = text.encode()
    return b"data %d\n%s\n" % (len(content), content)


def _import(folder: Path, commits: Iterable[bytes]) -> None:
    with tempfile.TemporaryFile() as file:
        file.writelines(commits)
        file.seek(0)
        subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, check=True, stdin=file)


def _git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    return subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
