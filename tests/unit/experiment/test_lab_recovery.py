"""The lab after a loss, a crash or a kill, and with a second server."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import anyio
import pytest
from anyio.abc import TaskStatus
from support.labs import REFLECTION, TASKS, FakeMeasure, edit, measured, opened
from support.workspaces import git

from autoagent_mcp.errors import LedgerError, RepoError
from autoagent_mcp.experiment.lab import Lab
from autoagent_mcp.models.experiment import Decision
from autoagent_mcp.models.run import RunState
from autoagent_mcp.workspace import Workspace


async def test_deleting_the_state_folder_loses_traces_and_nothing_else(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, *TASKS)
        run = await measured(lab, "All")
        await lab.keep(REFLECTION)
        experiments, brief = list(lab.experiments()), await lab.brief()
        histories = await lab.tasks()
    table = workspace.results.read_bytes()
    shutil.rmtree(workspace.state)
    workspace.results.unlink()
    async with opened(workspace) as lab:
        assert list(lab.experiments()) == experiments
        assert await lab.brief() == brief
        assert await lab.tasks() == histories
        assert await lab.run(run.id) == run
        with pytest.raises(LedgerError, match="not on disk any more"):
            await lab.trial(run.id, "apple__1")
        edit(workspace, "apple")
        assert (await measured(lab, "Less")).id == "0003"
    assert workspace.results.read_bytes().startswith(table)


async def test_a_results_file_changed_by_hand_is_written_anew(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await measured(lab)
    table = workspace.results.read_bytes()
    workspace.results.write_bytes(table.replace(b"2/4", b"4/4"))
    async with opened(workspace):
        assert workspace.results.read_bytes() == table


async def test_the_second_server_reads_and_takes_over_when_the_first_is_gone(workspace: Workspace) -> None:
    fake, gone = FakeMeasure(), anyio.Event()

    async def serve(*, task_status: TaskStatus[Lab]) -> None:
        async with opened(workspace, fake) as lab:
            await measured(lab)
            task_status.started(lab)
            await gone.wait()

    async with anyio.create_task_group() as group:
        first: Lab = await group.start(serve)
        async with opened(workspace) as second:
            assert second.experiments() == first.experiments()
            edit(workspace, *TASKS)
            with pytest.raises(LedgerError, match="Another server works on this workspace"):
                await second.start_suite("All")
            fake.hold()
            run = await first.start_suite("All")
            await fake.started.wait()
            assert (await second.run(run.id)).state is RunState.RUNNING
            with pytest.raises(LedgerError, match="Another server"):
                await second.cancel(run.id)
            fake.gate.set()
            await first.wait(run.id, 20)
            assert (await second.wait(run.id, 20)).state is RunState.COMPLETE
            gone.set()
            with anyio.fail_after(20):
                while not second.is_writing:  # noqa: ASYNC110 - it takes over by itself, and tells nobody
                    await anyio.sleep(0.01)
            assert (await second.keep(REFLECTION)).experiment.n == 1


async def test_a_keep_that_git_could_not_finish_is_finished_when_asked_again(workspace: Workspace) -> None:
    lock = workspace.folder / ".git" / "refs" / "heads" / "main.lock"
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, *TASKS)
        await measured(lab, "All")
        lock.touch()
        with pytest.raises(RepoError, match=r"main\.lock"):
            await lab.keep(REFLECTION)
        lock.unlink()
        kept = (await lab.keep(REFLECTION)).experiment
    assert git(workspace.folder, "rev-parse", "HEAD") == kept.kept_commit
    assert git(workspace.folder, "status", "--porcelain") == ""


async def test_a_keep_that_a_crash_left_half_done_is_finished_at_the_next_start(workspace: Workspace) -> None:
    lock = workspace.folder / ".git" / "refs" / "heads" / "main.lock"
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, *TASKS)
        await measured(lab, "All")
        lock.touch()
        with pytest.raises(RepoError):
            await lab.keep(REFLECTION)
    lock.unlink()
    git(workspace.folder, "commit", "-q", "--allow-empty", "-m", "The user goes on meanwhile")
    async with opened(workspace) as lab:
        kept = lab.incumbent()
    assert kept is not None
    assert (kept.n, kept.kept_commit) == (1, git(workspace.folder, "rev-parse", "HEAD"))
    assert git(workspace.folder, "log", "--format=%s").split("\n")[:2] == ["All", "The user goes on meanwhile"]
    assert git(workspace.folder, "status", "--porcelain") == ""


async def test_locks_that_a_killed_git_left_go_and_the_users_stay(workspace: Workspace) -> None:
    refs = workspace.folder / ".git" / "refs"
    index_lock = workspace.folder / ".git" / "index.lock"
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, *TASKS)
        await measured(lab, "All")
        (refs / "heads" / "main.lock").touch()
        with pytest.raises(RepoError):
            await lab.keep(REFLECTION)
    for lock in (refs / "heads" / "main.lock", refs / "autoagent" / "ledger.lock", index_lock):
        lock.touch()
    async with opened(workspace) as lab:
        kept = lab.incumbent()
        assert kept is not None
        assert kept.kept_commit == git(workspace.folder, "rev-parse", "HEAD")
        edit(workspace, "apple")
        index_lock.touch()
        with pytest.raises(RepoError, match="Another git works on the index"):
            await lab.start_suite("Less")
    async with opened(workspace):
        assert index_lock.exists()


IDEAS = (".agent/a.md", ".agent/b.md")

LOOP = """
import random
import sys
from pathlib import Path
import anyio
from autoagent_mcp.errors import DecisionRefused
from autoagent_mcp.workspace import Workspace
from support.labs import TASKS, edit, measured, opened

async def main():
    workspace = Workspace(folder=Path(sys.argv[1]))
    chance = random.Random(int(sys.argv[2]))
    async with opened(workspace) as lab:
        print("ready", flush=True)
        if lab.incumbent() is None:
            await measured(lab)
        while True:
            n = len(lab.experiments())
            (workspace.folder / ".agent").mkdir(exist_ok=True)
            for name in ("a.md", "b.md"):
                (workspace.folder / ".agent" / name).write_text(f"{n}")
            edit(workspace, *chance.sample(TASKS, chance.randint(0, 4)), extra=f"\\nN = {'+'.join('1' * (200 - n))}")
            await measured(lab, f"Experiment {n}")
            try:
                kept = (await lab.keep("It helps with any task.")).experiment
                print(f"kept {kept.n} {kept.kept_commit}", flush=True)
            except DecisionRefused:
                dropped = await lab.revert(f"Lesson {n}")
                print(f"dropped {dropped.n}", flush=True)

anyio.run(main)
"""


def run_and_kill(workspace: Workspace, seed: int, *, after_sec: float) -> list[str]:
    """Let a server work until its whole process group is killed; return what it had said was done."""
    command = [sys.executable, "-c", LOOP, str(workspace.folder), str(seed)]
    env = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(after_sec)
        os.killpg(process.pid, signal.SIGKILL)
        told = process.stdout.read().decode()
    return told.split("\n")[:-1]


@pytest.mark.timeout(180)
async def test_a_kill_at_any_moment_loses_nothing_and_the_next_start_finishes_what_was_decided(
    workspace: Workspace,
) -> None:
    (workspace.folder / "notes.txt").write_text("mine\n", encoding="utf-8")
    git(workspace.folder, "add", "notes.txt")
    chance = random.Random(11)  # noqa: S311 - moments, not secrets
    told: list[str] = []
    for seed in range(8):
        told += run_and_kill(workspace, seed, after_sec=chance.uniform(0, 1.5))
        async with opened(workspace) as lab:
            experiments = list(lab.experiments())
            incumbent = lab.incumbent()
        kept = {str(one.n): one.kept_commit for one in experiments if one.decision is Decision.KEEP}
        for line in told:
            word, number, *commit = line.split()
            assert experiments[int(number)].decision is (Decision.KEEP if word == "kept" else Decision.REVERT)
            assert [kept[number]] == commit if word == "kept" else number not in kept
        history = git(workspace.folder, "rev-list", "--reverse", "HEAD").split("\n")
        assert list(kept.values()) == history
        assert incumbent is None or git(workspace.folder, "rev-parse", "HEAD") == incumbent.kept_commit
        assert all(
            git(workspace.folder, "rev-parse", f"refs/autoagent/experiments/{one.n}^{{tree}}") for one in experiments
        )
        assert git(workspace.folder, "diff", "--cached", "--name-only") == "notes.txt"
        assert set(git(workspace.folder, "diff", "--name-only").split("\n")) <= {"", "agent.py", *IDEAS}
    assert told
    assert git(workspace.folder, "fsck", "--strict", "--no-dangling") == ""


async def test_a_run_that_a_kill_interrupted_is_marked_and_taken_up_again(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        fake.hold()
        edit(workspace, *TASKS)
        run = await lab.start_suite("All")
        await fake.started.wait()
        running = (workspace.run(run.id) / "run.json").read_bytes()
    (workspace.run(run.id) / "run.json").write_bytes(running)
    async with opened(workspace) as lab:
        assert (await lab.run(run.id)).state is RunState.INTERRUPTED
        again = await measured(lab, "All, after the kill")
        assert (again.id, again.state) == (run.id, RunState.COMPLETE)


async def test_a_revert_that_a_kill_ended_between_two_files_is_finished_at_the_next_start(workspace: Workspace) -> None:
    before = workspace.agent.read_bytes()
    async with opened(workspace) as lab:
        await measured(lab)
        (workspace.folder / ".agent").mkdir()
        for name in ("a.md", "b.md"):
            (workspace.folder / ".agent" / name).write_text("idea", encoding="utf-8")
        edit(workspace, "apple")
        await measured(lab, "Less")
        await lab.revert("Less is less")
    (workspace.folder / ".agent").mkdir()
    (workspace.folder / ".agent" / "b.md").write_text("idea", encoding="utf-8")
    async with opened(workspace):
        assert not (workspace.folder / ".agent").exists()
        assert workspace.agent.read_bytes() == before
    (workspace.folder / ".agent").mkdir()
    (workspace.folder / ".agent" / "b.md").write_text("another idea", encoding="utf-8")
    async with opened(workspace):
        assert (workspace.folder / ".agent" / "b.md").read_text(encoding="utf-8") == "another idea"
