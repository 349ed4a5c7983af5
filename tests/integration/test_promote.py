"""What is handed over, and what is refused, on real git and a real ledger."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.labs import REFLECTION, FakeMeasure, edit, make_lab_workspace, measured, opened
from support.workspaces import git, write_tree

from autoagent_mcp.errors import DecisionRefused, PromoteError, RepoError
from autoagent_mcp.experiment.lab import Lab
from autoagent_mcp.promote import promote
from autoagent_mcp.workspace import Workspace

FORGED = "Solve more\n---\ndiff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+x\n"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Make one whose harness passes one task of four."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return make_lab_workspace(tmp_path / "work", "apple")


async def keep(lab: Lab, workspace: Workspace, *solves: str, description: str = "More") -> None:
    edit(workspace, *solves)
    await measured(lab, description)
    await lab.keep(REFLECTION, "It is for this test.")


async def review(lab: Lab) -> None:
    await lab.wait((await lab.review(1)).id, 20)


async def hand_over(
    workspace: Workspace,
    *,
    branch: str | None = None,
    patch: Path | None = None,
    folder: Path | None = None,
    is_sure: bool = False,
) -> list[str]:
    return await promote(workspace, branch=branch, patch=patch, folder=folder, is_sure=is_sure)


async def test_only_a_winner_that_a_review_does_not_speak_against_is_handed_over(workspace: Workspace) -> None:
    async with opened(workspace, FakeMeasure()) as lab:
        await measured(lab)
        with pytest.raises(DecisionRefused, match="Nothing was kept yet"):
            await hand_over(workspace, branch="winner", is_sure=True)
        await keep(lab, workspace, "apple", "banana", "fraud")
        with pytest.raises(DecisionRefused, match="No review has measured the incumbent, experiment 1"):
            await hand_over(workspace, branch="winner")
        for _ in range(4):
            await review(lab)
        with pytest.raises(DecisionRefused, match=r"speaks against it\. The baseline does better"):
            await hand_over(workspace, branch="winner")
        assert git(workspace.folder, "branch", "--format=%(refname:short)") == "main"
        await hand_over(workspace, branch="all-the-same", is_sure=True)
        # What was reviewed is the champion before.
        await keep(lab, workspace, "apple", "banana", "cherry")
        with pytest.raises(DecisionRefused, match="No review has measured the incumbent, experiment 2"):
            await hand_over(workspace, branch="winner")
        await review(lab)
        await hand_over(workspace, branch="winner")
    assert "The gain is between" in " ".join(git(workspace.folder, "log", "-1", "--format=%B", "winner").split())


async def test_one_commit_on_the_baselines_has_the_harness_and_nothing_else_of_the_night(
    workspace: Workspace, tmp_path: Path
) -> None:
    base = git(workspace.folder, "rev-parse", "HEAD")
    async with opened(workspace, FakeMeasure()) as lab:
        await measured(lab)
        await keep(lab, workspace, "apple", "banana")
        write_tree(workspace.folder, {"mine.txt": "Mine.\n"})
        git(workspace.folder, "add", "mine.txt")
        git(workspace.folder, "commit", "-qm", "Mine")
        write_tree(workspace.folder, {".agent/hints/more.txt": "Hints.\n", ".agent/look.sh": "#!/bin/sh\n"})
        (workspace.folder / ".agent/look.sh").chmod(0o755)
        await keep(lab, workspace, "apple", "banana", "cherry", description=FORGED)
        await hand_over(workspace, folder=tmp_path / "new" / "winner", is_sure=True)
        await hand_over(workspace, patch=tmp_path / "winner.patch", is_sure=True)
        await hand_over(workspace, branch="hand/over", is_sure=True)
    names = git(workspace.folder, "diff", "--name-only", base, "hand/over").splitlines()
    assert names == [".agent/hints/more.txt", ".agent/look.sh", "agent.py"]
    assert git(workspace.folder, "rev-parse", "hand/over~1") == base
    made = tmp_path / "new" / "winner"
    assert {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()} == {*names, "evidence.md"}
    assert (made / ".agent/look.sh").stat().st_mode & 0o111 == 0o111
    assert not (made / "agent.py").stat().st_mode & 0o111
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(workspace.folder), str(clone))
    git(clone, "checkout", "-q", base)
    git(clone, "-c", "user.name=a", "-c", "user.email=a@localhost", "am", "-q", str(tmp_path / "winner.patch"))
    assert git(clone, "rev-parse", "HEAD^{tree}") == git(workspace.folder, "rev-parse", "hand/over^{tree}")


async def test_what_a_user_has_set_for_diffs_makes_no_other_patch(workspace: Workspace, tmp_path: Path) -> None:
    async with opened(workspace, FakeMeasure()) as lab:
        await measured(lab)
        await keep(lab, workspace, "apple", "banana")
        await hand_over(workspace, patch=tmp_path / "plain.patch", is_sure=True)
        odd = dict.fromkeys(("diff.noprefix", "format.noprefix", "format.attach", "format.coverLetter"), "true")
        odd |= {"diff.context": "0", "diff.external": "false", "color.ui": "always"}
        for name, value in odd.items():
            git(workspace.folder, "config", name, value)
        await hand_over(workspace, patch=tmp_path / "odd.patch", is_sure=True)
    plain, other = ((tmp_path / name).read_text(encoding="utf-8") for name in ("plain.patch", "odd.patch"))
    assert other.partition("diff --git")[2] == plain.partition("diff --git")[2]
    git(workspace.folder, "checkout", "-q", "HEAD~1")
    git(workspace.folder, "apply", "--check", str(tmp_path / "odd.patch"))


async def test_nothing_that_is_there_is_overwritten(workspace: Workspace, tmp_path: Path) -> None:
    async with opened(workspace, FakeMeasure()) as lab:
        await measured(lab)
        await keep(lab, workspace, "apple", "banana")
    head = git(workspace.folder, "rev-parse", "HEAD")
    (tmp_path / "there").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RepoError, match="There is a branch main already"):
        await hand_over(workspace, branch="main", is_sure=True)
    for name in ("-f", "@{-1}", "a..b", "HEAD"):
        with pytest.raises(RepoError, match="cannot be called"):
            await hand_over(workspace, branch=name, is_sure=True)
    for place in (tmp_path / "there", tmp_path / "dangling", workspace.agent):
        with pytest.raises(PromoteError, match="is there already"):
            await hand_over(workspace, folder=place, is_sure=True)
        with pytest.raises(PromoteError, match="is there already"):
            await hand_over(workspace, patch=place, is_sure=True)
    with pytest.raises(PromoteError, match="not one place"):
        await hand_over(workspace, branch="a", patch=tmp_path / "b", is_sure=True)
    assert git(workspace.folder, "rev-parse", "HEAD") == head
    assert not any((tmp_path / "there").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"work", "state", "there", "dangling"}
