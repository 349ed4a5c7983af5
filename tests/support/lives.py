"""A client's loop that goes on however often its server is killed, and the moments at which that happens."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import Any, NamedTuple

import anyio
from mcp import Client, StdioServerParameters
from support.clients import Call, ToolFailed, caller
from support.workspaces import ANSWER_TASK, NO_MODEL, ROOT, git, harness, make_workspace

from autoagent_mcp.workspace import Workspace

REFLECTION = "Yes: it would help with any task of this kind."


class Moment(NamedTuple):
    """When a server is to be killed: after a file of this name was made, written to or put in its place."""

    name: str
    pattern: str
    skip: int = 0
    """At most so many of such files come before."""
    delay_sec: float = 0.003
    """At most so long afterwards."""


ALWAYS = (
    Moment("a snapshot", r"refs/autoagent/experiments/\d+\.lock$"),
    Moment("an append to the ledger", r"ledger\.sqlite3-wal$", skip=6),
    Moment("the ledger's ref", r"refs/autoagent/ledger\.lock$", skip=3),
    Moment("a commit on the branch", r"refs/heads/main\.lock$"),
    Moment("the index", r"\.git/index\.lock$"),
    Moment("the incumbent's ref", r"refs/autoagent/incumbent\.lock$"),
    Moment("results.tsv", r"\.results\.tsv\.\w+$", skip=3),
    Moment("a sandbox's start", r"runs/\d+/\w+__[\w-]+$", skip=5, delay_sec=0.03),
    Moment("a trial's end", r"/\.trial\.json\.\w+$", skip=5),
    Moment("a run's end", r"runs/\d+/\.run\.json\.\w+$", skip=2),
    Moment("a revert or an edit", r"/\.agent\.py\.\w+$"),
    Moment("the start", r"\.autoagent/lock$", delay_sec=0.2),
    Moment("some time", r"\.autoagent/lock$", delay_sec=2.0),
)
IN_A_DUEL = (
    Moment("a confirm run", r"__incumbent-\d+$", skip=12, delay_sec=0.03),
    Moment("the score", r"__score-\d+$", skip=6, delay_sec=0.03),
    Moment("a judgement", r"ledger\.sqlite3-wal$", skip=12),
)


class Death(NamedTuple):
    """How a server ends."""

    moment: Moment
    signal: Signals = SIGKILL
    whole_tree: bool = False


def deaths(chance: random.Random, count: int, moments: tuple[Moment, ...]) -> list[Death]:
    """Draw so many deaths: each moment about equally often, in any order; most by SIGKILL, half of the whole tree."""
    found: list[Death] = []
    while len(found) < count:
        for moment in chance.sample(moments, len(moments)):
            number = chance.choice((SIGKILL,) * 4 + (SIGTERM, SIGINT))
            found.append(Death(moment, number, whole_tree=number is SIGKILL and chance.random() < 0.5))
    return found[:count]


_HAND_OVER = """
import os, socket, sys
killer = socket.socket(socket.AF_UNIX)
killer.connect(sys.argv[1])
socket.send_fds(killer, [sys.argv[2].encode()], [0, 1, 2])
os.closerange(0, 2)
killer.recv(1)
"""
"""Hands stdin and stdout over to the killer for its next server, and ends when nothing of that is left."""


class Report(NamedTuple):
    """What the killer saw."""

    moment: str
    left: list[int]
    """Processes that did not end; the next server has to end them."""


@contextmanager
def killer(folder: Path) -> Generator[None]:
    """Have a killer at hand, at a socket in a folder; servers get the environment as it is now."""
    place = folder / "killer"
    words = [sys.executable, str(Path(__file__).with_name("killer.py")), str(place)]
    with subprocess.Popen(words) as process:
        try:
            while not place.exists():
                assert process.poll() is None
                time.sleep(0.01)  # it imports for a second or two
            yield
        finally:
            process.kill()


@asynccontextmanager
async def doomed(
    workspace: Workspace, death: Death, chance: random.Random, folder: Path, *, at_most_sec: float = 6
) -> AsyncGenerator[tuple[Call, Path]]:
    """Speak to a server that is killed meanwhile; the path holds the report once nothing of it runs any more."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    order = {
        "workspace": str(workspace.folder),
        "pattern": death.moment.pattern,
        "skip": chance.randint(0, death.moment.skip),
        "delay_sec": chance.choice((0.0, chance.uniform(0, death.moment.delay_sec))),
        "signal": int(death.signal),
        "whole_tree": death.whole_tree,
        "at_most_sec": at_most_sec,
        "report": str(report),
    }
    words = ["-I", "-S", "-c", _HAND_OVER, str(folder / "killer"), json.dumps(order)]
    parameters = StdioServerParameters(command=sys.executable, args=words)
    async with Client(parameters) as client:
        yield caller(client), report


async def report_at(path: Path) -> Report:
    """Wait for the killer's report."""
    with anyio.fail_after(40):
        while not path.exists():  # noqa: ASYNC110 - another process writes it
            await anyio.sleep(0.01)
    return Report(**json.loads(path.read_bytes()))


def wounds(workspace: Workspace) -> set[str]:
    """Say what a killed server left half done, by what is on disk before the next one starts."""
    folder = workspace.folder
    with sqlite3.connect(workspace.ledger) as connection:
        has_rows = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone()
        rows = connection.execute("SELECT kind, body FROM entries ORDER BY seq").fetchall() if has_rows else []
    bodies = [(kind, json.loads(body)) for kind, body in rows]
    kept = [body["kept_commit"] for kind, body in bodies if kind == "decided" and body["decision"] == "keep"]
    listed = git(folder, "for-each-ref", "--format=%(refname) %(objectname)")
    refs: dict[str, str] = dict(line.split(" ") for line in listed.splitlines())
    commits = git(folder, "rev-list", refs["refs/autoagent/ledger"]) if "refs/autoagent/ledger" in refs else ""
    lines = [line for one in commits.split() for line in git(folder, "show", f"{one}:ledger.jsonl").splitlines()]
    runs = [json.loads(path.read_bytes()) for path in workspace.runs.glob("*/run.json")]
    began = sum(kind == "began" for kind, _ in bodies)
    trials = [*workspace.runs.glob("*/*__*/")]
    found = {
        "a snapshot without its experiment": f"refs/autoagent/experiments/{began}" in refs,
        "a row that is not published": len(lines) < len(bodies),
        "a keep that is not on the branch": bool(kept) and kept[-1] != refs["refs/heads/main"],
        "a keep that is not noted as done": bool(kept) and kept[-1] != refs.get("refs/autoagent/incumbent"),
        "a verdict that is not carried out": bool(bodies) and bodies[-1][0] == "judged",
        "trials without their run": bool(bodies) and bodies[-1][0] == "tried",
        "a lock of git": any((folder / ".git").rglob("*.lock")),
        "an unfinished file": any(re.fullmatch(r"\..+\.\w{8}", path.name) for path in workspace.state.rglob(".*")),
        "a run that goes on": any(run["state"] == "running" for run in runs),
        "a duel that goes on": any(run["state"] == "running" and run["duel"] for run in runs),
        "a trial that goes on": any(not (path / "trial.json").exists() for path in trials if path.suffix != ".failed"),
    }
    return {name for name, is_so in found.items() if is_so}


def make_levels(folder: Path, rule: str, tasks: int) -> Workspace:
    """Make a workspace whose tasks are solved by a harness of their level, beside work of the user's own."""
    settings = NO_MODEL.format(url="http://127.0.0.1:9/v1") + f'[decision]\nrule = "{rule}"\n'
    said = "Write 42 to answer.txt. Level {}\n"
    suite = {f"t{n:02}": {**ANSWER_TASK, "instruction.md": said.format(n)} for n in range(tasks)}
    workspace = make_workspace(folder, agent=agent_of(level=1, size=200), tasks=suite, settings=settings)
    (folder / "notes.txt").write_text("mine\n", encoding="utf-8")
    git(folder, "add", "notes.txt")
    (folder / ".gitignore").write_text(".autoagent/\nresults.tsv\n# mine\n", encoding="utf-8")
    return workspace


def agent_of(*, level: int, size: int) -> str:
    """Return a harness that solves the tasks below a level; a smaller size makes a simpler one."""
    return harness(
        f"SIZE = {'+'.join('1' * size)}\n\n\n"
        "async def run_task(environment, instruction):\n"
        f"    if int(instruction.split()[-1]) < {level}:\n"
        "        await environment.exec('echo 42 > answer.txt')\n"
    )


class Player:
    """Tries one idea after another: edits, measures, and keeps or reverts. Called again, it goes on where it was.

    Args:
        workspace: As made by `make_levels`.
        journal: Where it writes what it was told, for the judge.
        gain: How many tasks more each good idea solves; 0: it solves as many, and is simpler.
        tasks: How many there are.
    """

    def __init__(self, workspace: Workspace, journal: Path, *, gain: int, tasks: int) -> None:
        self._workspace = workspace
        self.journal = journal
        self._gain = gain
        self._tasks = tasks
        self._level = 1
        self._idea = 0
        self._stage = "measure"
        journal.touch()

    async def play(self, call: Call) -> None:
        """Go on without end."""
        while True:
            if self._stage == "measure":
                await self._measure(call)
                self._stage = "decide" if self._idea else "done"
            if self._stage == "decide":
                self._stage = "done" if await self._is_kept(call) else "revert"
            if self._stage == "revert":
                await call("revert_change", lesson=f"Lesson {self._idea}")
                self._note(event="decided", words=self._words, decision="revert")
            self._idea += 1
            self._stage = "measure"

    @property
    def _words(self) -> str:
        return f"Idea {self._idea}"

    @property
    def _is_good(self) -> bool:
        return self._idea % 3 != 2 and not (self._gain and self._level >= self._tasks)

    async def _measure(self, call: Call) -> None:
        if self._idea:
            await self._edit(call)
        if self._idea % 4 == 1:
            await when_idle(call, "spot_check", tasks=["t00"], description=self._words)
        self._note(event="began", words=self._words)
        run = await when_idle(call, "run_suite", description=self._words)
        self._note(event="measured", run=run["run"], passed=run["passed"], trials=run["done"])

    async def _edit(self, call: Call) -> None:
        """Write the idea, now and then by the server's own tool."""
        level = min(self._level + self._gain, self._tasks) if self._is_good else 0
        wanted = agent_of(level=level, size=200 - self._idea)
        if self._idea % 2:
            self._workspace.agent.write_text(wanted, encoding="utf-8")
        elif self._workspace.agent.read_text(encoding="utf-8") != wanted:
            version = (await call("read_harness", file="agent.py"))["version"]
            await call("edit_harness", file="agent.py", content=wanted, version=version)

    async def _is_kept(self, call: Call) -> bool:
        try:
            answer = await when_idle(call, "keep_change", reflection=REFLECTION, justification="It is a number.")
        except ToolFailed as refused:
            if self._is_good or "is no improvement" not in str(refused):
                raise
            return False
        assert answer["experiment"]["decision"].startswith("keep"), answer
        self._level = min(self._level + self._gain, self._tasks)
        self._note(event="decided", words=self._words, decision="keep")
        return True

    def _note(self, **event: Any) -> None:  # noqa: ANN401 - JSON
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


async def when_idle(call: Call, tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Call a tool that begins a run until that is complete; a review of the server's own may have to end first."""
    while True:
        try:
            answer = await call(tool, **arguments, wait_sec=60)
        except ToolFailed as failed:
            busy = re.search(r'wait_run\(run="(\d+)"\)', str(failed))
            if busy is None:
                raise
            await call("wait_run", run=busy[1], wait_sec=60)
            continue
        run = answer if tool != "keep_change" else answer["run"]
        if run is None or run["state"] == "complete":
            return answer


def judged(workspace: Workspace, journal: Path) -> dict[str, Any]:
    """Have the separate program of benchmarks/ look at a workspace; return its figures and what is wrong."""
    words = [sys.executable, str(ROOT / "benchmarks" / "night_judge.py"), str(workspace.folder), "--json"]
    words += ["--journal", str(journal), "--state", str(workspace.hidden.folder.parents[1])]
    done = subprocess.run(words, capture_output=True, check=False, text=True)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)
