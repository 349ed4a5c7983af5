"""What a meta-agent finds that comes later, or from elsewhere: who did what, how it got there, what goes on."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from pathlib import Path

from support.labs import REFLECTION, TASKS, FakeMeasure, edit, measured, opened

from autoagent_mcp.experiment.book import BEGAN, Book
from autoagent_mcp.experiment.directive import directive
from autoagent_mcp.ledger import Entry
from autoagent_mcp.models.author import Author
from autoagent_mcp.models.experiment import Decision
from autoagent_mcp.tools.views import experiment_row
from autoagent_mcp.workspace import Workspace

CLAUDE = Author(client="claude-code", client_version="2.1.329", meta_model="opus", server_version="0.1.0")
CODEX = Author(client="codex-mcp-client", client_version="0.169.0", server_version="0.1.0")


async def test_who_did_what_is_in_the_ledger_and_its_copy_in_git(workspace: Workspace) -> None:
    async with opened(workspace) as lab:
        await lab.wait((await lab.start_suite("The baseline", by=CLAUDE)).id, 20)
        assert "Experiments by client" not in (await lab.brief()).text
        edit(workspace, "apple", "banana", "cherry")
        await lab.wait((await lab.start_suite("Cherries", by=CLAUDE)).id, 20)
        await lab.keep(REFLECTION, by=CODEX)
        edit(workspace, "apple")
        await lab.revert("Never measured", by=CODEX)
    shutil.rmtree(workspace.state)
    async with opened(workspace) as lab:
        _, kept, reverted = lab.experiments()
        assert (kept.author, kept.decision, kept.decided_by) == (CLAUDE, Decision.KEEP, CODEX)
        assert (reverted.author, reverted.decision, reverted.decided_by) == (CODEX, Decision.REVERT, CODEX)
        assert experiment_row(kept).by == "claude-code 2.1.329 with opus"
        text = (await lab.brief()).text
    assert "Experiments by client: claude-code 2.1.329 with opus (2), codex-mcp-client 0.169.0 (1)." in text


async def test_the_brief_tells_the_goal_and_how_the_incumbent_came_about(workspace: Workspace) -> None:
    workspace.program.write_text("# Program\n\nBe good.\n\n## The directive\n\nPass *more* tasks.\n\n## Other\n\nNo.\n")
    async with opened(workspace) as lab:
        await measured(lab)
        edit(workspace, "apple", "banana", "cherry")
        await measured(lab, "Pick cherries")
        await lab.keep(REFLECTION)
        for fruit in ("fig", "grape", "kiwi"):
            edit(workspace, fruit)
            await lab.revert(f"No {fruit}")
        brief = await lab.brief()
        assert await lab.brief() == brief
    assert "Read program.md; it begins: Pass *more* tasks.\n" in brief.text
    assert (
        "How it got there:\n- 0 (the baseline): 2 of 4 trials passed, average reward 0.500\n"
        "- 1 (prompt) from 2 to 3 passed: Pick cherries\n"
    ) in brief.text
    assert "The last 3 changes were not kept. Pivot: " in brief.next
    async with opened(workspace) as lab:
        assert await lab.brief() == brief


async def test_a_server_that_only_reads_tells_the_same_of_a_run_that_goes_on_elsewhere(workspace: Workspace) -> None:
    fake = FakeMeasure()
    async with opened(workspace, fake) as lab:
        await measured(lab)
        fake.hold()
        edit(workspace, *TASKS)
        run = await lab.start_suite("All")
        await fake.started.wait()
        going = await lab.brief()
        async with opened(workspace) as reader:
            seen = await reader.brief()
            assert (await reader.progress(run.id)).total == 4
        assert "Run 0002 (suite) goes on, 0 of 4 trials done, 0 passed: All." in going.text
        lines = [line for line in seen.text.splitlines() if not line.startswith("Notice: Another server works")]
        assert lines == going.text.splitlines()
        assert lines != seen.text.splitlines()
        assert seen.next == going.next == 'Call wait_run(run="0002").'
        fake.gate.set()
        await lab.wait(run.id, 20)
        async with opened(workspace) as reader:
            assert "takes over when that one is gone" in (await reader.brief()).next


def test_an_entry_of_before_names_nobody() -> None:
    body = (
        '{"n":0,"description":"d","candidate":{"tree":"t","commit":"c","identity":"i","complexity":1},'
        '"parent":null,"base_commit":"b"}'
    )
    book = Book()
    book.apply(
        Entry(seq=0, at=datetime(2026, 1, 1, tzinfo=timezone.utc), kind=BEGAN, body=body, previous_sha256="", sha256="")
    )
    (experiment,) = book.experiments
    assert (experiment.author, experiment_row(experiment).by) == (None, "")


def test_a_heading_of_any_length_is_read(tmp_path: Path) -> None:
    """Minutes, where its end were looked for from each blank."""
    workspace = Workspace(folder=tmp_path)
    workspace.program.write_text(f"# Goal #{90_000 * ' '}x\n\nWin.\n", encoding="utf-8")
    assert directive(workspace) == "Win."
