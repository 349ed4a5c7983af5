"""The lab after a loss, a crash or a kill, and with a second server."""

from __future__ import annotations

import shutil

import anyio
import pytest
from anyio.abc import TaskStatus
from support.labs import REFLECTION, TASKS, FakeMeasure, edit, measured, opened
from support.workspaces import git

from autoagent_mcp.errors import LedgerError, RepoError
from autoagent_mcp.experiment.lab import Lab
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
