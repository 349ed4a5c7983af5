"""The morning after, as a person has it: review, status, ledger, trace and promote as processes, in real sandboxes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.commands import autoagent
from support.hidden import Secrets
from support.labs import REFLECTION
from support.workspaces import ANSWER_TASK, NO_MODEL, git, harness, make_workspace

from autoagent_mcp import config as config_file
from autoagent_mcp.experiment.lab import Lab, open_lab
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.workspace import Workspace

SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1") + "[split]\nhidden_dir = '../aside'\n"
TASKS = {name: {**ANSWER_TASK, "instruction.md": f"{name}: write 42 to answer.txt.\n"} for name in ("easy", "hard")}
HOSTILE = "\x1b]0;taken over\x07\x1b[2J [red]bold[/red] :smile:"
SOLVE = """\
async def run_task(environment, instruction):
    if {condition}:
        await environment.exec(r"printf 'a\\033[2Jb [red]c[/red]\\n%0{flood}d\\n'; echo 42 > answer.txt")
"""


class Morning:
    """A workspace with a keep in it, and what its hidden tasks must not tell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""
        self.secrets = Secrets()
        self.secrets.write(folder / "aside", 1)
        agent = harness(SOLVE.format(condition="'easy' in instruction", flood=1))
        self.workspace = make_workspace(folder / "work", agent=agent, tasks=TASKS, settings=SETTINGS)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the workspace."""
        state = str(self.folder / "state")
        return autoagent(*words, folder=self.workspace.folder, XDG_STATE_HOME=state, **environment)

    def told(self, *words: str) -> Any:  # noqa: ANN401 - JSON
        """Return what a command says as JSON."""
        done = self.run(*words, "--json")
        assert done.stdout.isascii(), done.stderr
        return json.loads(done.stdout)


async def at_night(workspace: Workspace) -> None:
    settings = config_file.load(workspace.folder)
    async with open_bench(workspace, settings) as bench, open_lab(bench) as lab:
        await ended(lab, await lab.start_suite("The harness as it came"))
        workspace.agent.write_text(harness(SOLVE.format(condition="True", flood=9_000)), encoding="utf-8")
        await ended(lab, await lab.start_suite(f"Solve all {HOSTILE}"))
        await lab.keep(REFLECTION)


async def ended(lab: Lab, run: Run) -> None:
    while run.state is RunState.RUNNING:
        run = await lab.wait(run.id, 60)
    assert run.state is RunState.COMPLETE, run.error


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Morning:
    """Measure a baseline and keep one change, for good, by the seed's rule."""
    folder = tmp_path_factory.mktemp("morning")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        found = Morning(folder)
        anyio.run(at_night, found.workspace)
    return found


@pytest.fixture(scope="module")
def reviewed(morning: Morning) -> Morning:
    """Review what was kept."""
    refused = morning.run("promote", "--branch", "winner")
    assert (refused.returncode, "No review has measured the incumbent, experiment 1" in refused.stderr) == (1, True)
    done = morning.run("review", "--rounds", "2")
    assert done.returncode == 0, done.stderr
    morning.said = done.stdout
    return morning


@pytest.mark.timeout(180)
def test_a_review_says_what_may_be_believed_and_of_the_hidden_tasks_only_to_a_person(reviewed: Morning) -> None:
    said = " ".join(reviewed.said.split())
    assert "Visible tasks: +50.0 points" in said
    assert "in 4 pairs: 2 won, 0 lost, 2 tied" in said
    assert "1 hidden tasks: +100.0 points" in said
    assert "What may be believed: *" in said
    assert "(kept for good): Solve all [red]bold[/red] :smile:" in said
    assert reviewed.secrets.found_in(reviewed.said.encode()) == []
    assert reviewed.secrets.found_below(reviewed.workspace.folder) == {}
    told = reviewed.told("status")["headline"]
    assert (told["hidden"], told["gain"]["how"], told["review"]["run"]) == ("no veto", "pairs", "0003")
    assert "100.0 points" not in json.dumps(told)


@pytest.mark.timeout(180)
def test_a_winner_is_taken_over_and_nothing_else_is_touched(reviewed: Morning) -> None:
    folder = reviewed.workspace.folder
    (folder / "tasks/easy/instruction.md").write_text("Mine.\n", encoding="utf-8")
    git(folder, "add", "tasks")
    (folder / "mine.txt").write_text("Mine, too.\n", encoding="utf-8")
    before = (git(folder, "status", "--porcelain=v2", "--branch"), (folder / ".git/index").read_bytes())
    places = {"--branch": "winner", "--patch": "../winner.patch", "--to": "../winner"}
    for place in places.items():
        assert (done := reviewed.run("promote", *place)).returncode == 0, done.stderr
        assert "already" in reviewed.run("promote", *place).stderr
    assert (git(folder, "status", "--porcelain=v2", "--branch"), (folder / ".git/index").read_bytes()) == before

    base, kept = git(folder, "rev-list", "--max-parents=0", "HEAD"), git(folder, "rev-parse", "HEAD:agent.py")
    assert git(folder, "rev-parse", "winner~1", "winner:agent.py").split() == [base, kept]
    message = git(folder, "log", "-1", "--format=%B", "winner")
    assert "+50.0 points" in message.splitlines()[0]
    assert "* #1" in message
    assert "\x1b" not in message
    assert git(folder, "diff", "--name-only", base, "winner") == "agent.py"
    clone = reviewed.folder / "clone"
    git(reviewed.folder, "clone", "-q", str(folder), str(clone))
    git(clone, "checkout", "-q", base)
    git(clone, "apply", "--index", str(reviewed.folder / "winner.patch"))
    assert git(clone, "write-tree") == git(folder, "rev-parse", "winner^{tree}")
    assert (reviewed.folder / "winner/agent.py").read_text(encoding="utf-8").strip() == git(
        folder, "show", "HEAD:agent.py"
    )
    assert {path.name for path in (reviewed.folder / "winner").iterdir()} == {"agent.py", "evidence.md"}


def test_what_a_model_or_a_sandbox_said_moves_no_terminal(morning: Morning) -> None:
    for words in (("status",), ("ledger", "1"), ("trace", "2", "hard")):
        done = morning.run(*words, COLUMNS="60")
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        assert "\x07" not in done.stdout
        if words[0] != "trace":
            assert "[red]bold[/red] :smile:" in " ".join(done.stdout.split())
            assert max(map(len, done.stdout.splitlines())) <= 100
    shown = morning.run("trace", "2", "hard").stdout
    assert "ab [red]c[/red]" in shown
    assert "characters cut" in shown
    assert "characters cut" not in (whole := morning.run("trace", "0002", "hard__1", "--full").stdout)
    assert "0" * 9_000 in whole.replace("\n", "")


def test_scripts_get_the_same_facts(morning: Morning) -> None:
    ledger = morning.told("ledger")
    assert [(one["n"], one["status"], one["score"]["passed"]) for one in ledger] == [(0, "baseline", 1), (1, "kept", 2)]
    assert morning.told("ledger", "--status", "kept", "--last", "1") == ledger[1:]
    assert "+    if True:" in morning.told("ledger", "1")["diff"]
    trace = morning.told("trace", "1", "hard")
    assert (trace["trial"]["task"], trace["trial"]["passed"]) == ("hard", False)
    assert "verifier/test-stdout.txt" in {file["path"] for file in trace["files"]}
    unknown = morning.run("trace", "1", "hart")
    assert (unknown.returncode, "nearest are: hard__1" in unknown.stderr) == (1, True)
    shutil.move(morning.workspace.run("0001") / "easy__1", morning.folder / "away")
    assert "is not on disk any more" in morning.run("trace", "1", "easy").stderr


async def test_beside_a_server_all_is_shown_and_no_review_begins(
    morning: Morning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(morning.folder / "state"))
    workspace = morning.workspace
    async with open_bench(workspace, config_file.load(workspace.folder)) as bench, open_lab(bench) as lab:
        await lab.brief()
        refused = await anyio.to_thread.run_sync(lambda: morning.run("review"))
        told = await anyio.to_thread.run_sync(lambda: morning.told("ledger"))
    assert (refused.returncode, refused.stderr.startswith("A server works on this workspace (process ")) == (1, True)
    assert len(told) == 2
