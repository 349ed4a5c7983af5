"""The server is killed at random moments of a real loop: nothing is lost, and nothing is left behind.

`AUTOAGENT_KILL_SEED=N` draws other moments; `--log-cli-level=INFO` shows them, and what each kill left half done.
"""

from __future__ import annotations

import json
import logging
import os
import random
from collections import Counter
from pathlib import Path

import pytest
from mcp.shared.exceptions import MCPError
from support.clients import ToolFailed, over_stdio
from support.lives import (
    ALWAYS,
    IN_A_DUEL,
    Death,
    Moment,
    Player,
    Report,
    deaths,
    doomed,
    judged,
    killer,
    make_levels,
    report_at,
    wounds,
)
from support.processes import has_ended, until
from support.workspaces import git

from autoagent_mcp.workspace import Workspace

SEED = os.environ.get("AUTOAGENT_KILL_SEED", "1")
_log = logging.getLogger(__name__)


def played(folder: Path, rule: str) -> tuple[Workspace, Player, tuple[Moment, ...]]:
    """Make a workspace and who plays in it: by the seed's rule each run may keep, by evidence there are duels."""
    gain, tasks = (0, 3) if rule == "seed" else (3, 7)
    workspace = make_levels(folder / "work", rule, tasks)
    moments = ALWAYS if rule == "seed" else (*ALWAYS, *IN_A_DUEL)
    return workspace, Player(workspace, folder / "journal", gain=gain, tasks=tasks), moments


def measured(workspace: Workspace) -> dict[str, bytes]:
    """Return the trials on disk that measured something."""
    found = {str(path): path.read_bytes() for path in workspace.runs.glob("*/*/trial.json")}
    return {path: data for path, data in found.items() if ".failed/" not in path and not json.loads(data)["failure"]}


def users_work_is_untouched(workspace: Workspace) -> None:
    assert git(workspace.folder, "diff", "--cached", "--name-only") == "notes.txt"
    assert git(workspace.folder, "show", ":notes.txt") == "mine"
    assert set(git(workspace.folder, "diff", "--name-only").split("\n")) <= {".gitignore", "agent.py"}
    assert (workspace.folder / ".gitignore").read_text(encoding="utf-8").endswith("# mine\n")


async def lived(workspace: Workspace, player: Player, death: Death, chance: random.Random, left: list[int]) -> Report:
    """Let the player play with a server until that is killed.

    Before it plays all must be as it was told and measured in the lives before, and `left` of them must have ended.
    """
    before, said = measured(workspace), ""
    async with doomed(workspace, death, chance, player.journal.parent) as (call, path):
        try:
            await call("get_brief")
            assert judged(workspace, player.journal)["wrong"] == [], f"seed {SEED}"
            assert before.items() <= measured(workspace).items()
            users_work_is_untouched(workspace)
            await until(lambda: all(map(has_ended, left)))
            await player.play(call)
        except (MCPError, ToolFailed) as error:
            said = str(error)
    report = await report_at(path)
    assert report.moment, f"It was not killed, but ended after this: {said}"
    return report


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("rule", "game", "kills"), [("seed", 1, 25), ("evidence", 1, 13), ("evidence", 2, 12)])
async def test_a_kill_at_any_moment_loses_nothing_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str, game: int, kills: int
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(scratch))
    chance = random.Random(f"{rule} {game} {SEED}")  # noqa: S311 - moments, no secrets
    workspace, player, moments = played(tmp_path, rule)
    seen: Counter[str] = Counter()
    report = Report("", [])
    with killer(tmp_path):
        for death in deaths(chance, kills, moments):
            report = await lived(workspace, player, death, chance, report.left)
            found = wounds(workspace)
            seen.update([*found, *(["a process"] if report.left else [])])
            _log.info("%s %s: %s", death, report, ", ".join(sorted(found)))
            assert list(scratch.iterdir()) == []
    async with over_stdio(workspace) as call:
        await call("get_brief")
    verdict = judged(workspace, player.journal)
    _log.info("%s, left half done: %s", verdict["figures"], dict(seen))
    assert verdict["wrong"] == []
    assert git(workspace.folder, "fsck", "--strict", "--no-dangling") == ""
    assert "a run that goes on" in seen
