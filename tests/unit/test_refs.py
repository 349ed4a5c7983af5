"""Our refs among very many: what git did not write itself is found in its turn."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.labs import make_lab_workspace
from support.workspaces import git

from autoagent_mcp.repo import Repo

COUNT = 1100


def make_refs(folder: Path, commit: str) -> None:
    orders = "".join(f"create refs/autoagent/experiments/{number} {commit}\n" for number in range(COUNT))
    subprocess.run(["git", "update-ref", "--stdin"], cwd=folder, input=orders, check=True, encoding="utf-8")


async def test_a_file_written_behind_gits_back_is_found_among_many(tmp_path: Path) -> None:
    workspace = make_lab_workspace(tmp_path / "work", "apple")
    head = git(workspace.folder, "rev-parse", "HEAD")
    make_refs(workspace.folder, head)
    repo = await Repo.open(workspace)
    await repo.watch_refs([head] * COUNT)
    assert await repo.moved_refs() == ()
    forged = git(workspace.folder, "commit-tree", "HEAD^{tree}", "-m", "forged")
    for number in (0, 600, COUNT - 1):
        path = workspace.folder / f".git/refs/autoagent/experiments/{number}"
        path.write_text(f"{forged}\n", encoding="utf-8")
        found = [moved for _ in range(4) for moved in await repo.moved_refs()]
        assert [(moved.ref, moved.found, moved.is_put_back) for moved in found] == [
            (f"refs/autoagent/experiments/{number}", forged, True)
        ]
        assert path.read_text(encoding="utf-8") == f"{head}\n"
