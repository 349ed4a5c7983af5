"""What is kept of a sandbox."""

from __future__ import annotations

import json
from typing import Any

from support.suites import Suites


async def entries(suites: Suites, artifacts: str, solve: str, more: str = "") -> tuple[list[dict[str, Any]], Suites]:
    measured = await suites.one(f"artifacts = {artifacts}\n{more}", solve=solve)
    assert measured.trial.passed
    return json.loads(measured.text("artifacts/manifest.json")), suites


def kept(suites: Suites, path: str) -> str | None:
    found = suites.folder / ".autoagent/runs/0001/one__1/artifacts" / path
    return found.read_text(encoding="utf-8") if found.is_file() else None


async def test_files_and_folders_are_kept_under_their_path_and_told_in_a_manifest(suites: Suites) -> None:
    solve = (
        "mkdir -p out/out; echo a > out/a; echo b > b.txt; echo c > /logs/artifacts/c; mkdir same; echo s > same/same"
    )
    listed = '["/app/out", "/app/b.txt", {source = "/app/b.txt", destination = "as/b"}, "/app/none", "/app/same"]'
    found, _ = await entries(suites, listed, solve)
    assert [(one["source"], one["destination"], one["type"], one["status"]) for one in found] == [
        ("/logs/artifacts", "artifacts/logs/artifacts", "directory", "ok"),
        ("/app/out", "artifacts/app/out", "directory", "ok"),
        ("/app/b.txt", "artifacts/app/b.txt", "file", "ok"),
        ("/app/b.txt", "artifacts/as/b", "file", "ok"),
        ("/app/none", "artifacts/app/none", "directory", "failed"),
        ("/app/same", "artifacts/app/same", "directory", "ok"),
    ]
    places = ("app/out/a", "app/b.txt", "as/b", "logs/artifacts/c", "app/same/same")
    assert [kept(suites, place) for place in places] == ["a\n", "b\n", "b\n", "c\n", "s\n"]


async def test_of_two_that_want_one_place_the_first_has_it(suites: Suites) -> None:
    listed = '[{source = "/app/a", destination = "x"}, {source = "/app/b", destination = "x"}, "/app/d", "/app/d/e"]'
    found, _ = await entries(suites, listed, "echo a > a; echo b > b; mkdir d; echo e > d/e")
    assert [one["status"] for one in found] == ["empty", "ok", "skipped", "ok", "skipped"]
    assert (kept(suites, "x"), kept(suites, "app/d/e")) == ("a\n", "e\n")


async def test_patterns_leave_out_what_matches_at_any_depth(suites: Suites) -> None:
    listed = '[{source = "/app/out", exclude = ["*.gz", "node_modules", "deep/skip*"]}]'
    solve = "mkdir -p out/deep out/node_modules; touch out/a.gz out/deep/b.gz out/node_modules/c out/deep/skipped out/d"
    await entries(suites, listed, f"{solve}; echo kept > out/deep/kept")
    folder = suites.folder / ".autoagent/runs/0001/one__1/artifacts/app/out"
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == ["d", "deep/kept"]


async def test_what_is_missing_or_too_large_fails_no_trial(suites: Suites) -> None:
    listed = '["/app/none", "/app/big"]'
    measured = await suites.one(f"artifacts = {listed}", solve="mkdir big; head -c 70000000 /dev/zero > big/x")
    assert measured.trial.passed
    assert [one["status"] for one in json.loads(measured.text("artifacts/manifest.json"))] == [
        "empty",
        "failed",
        "failed",
    ]
    assert any("/app/big was not kept" in notice for notice in measured.trial.notices)


async def test_collect_commands_run_after_the_agent_and_before_the_copy(suites: Suites) -> None:
    more = (
        '[[verifier.collect]]\ncommand = "cat made > /logs/artifacts/dump"\n'
        '[[verifier.collect]]\ncommand = "exit 4"\n[[verifier.collect]]\ncommand = "sleep 60"\ntimeout_sec = 0.5\n'
    )
    measured = await suites.one(more, solve="echo late > made")
    assert measured.trial.passed
    assert measured.text("artifacts/logs/artifacts/dump") == "late\n"
    assert "The collect command 'exit 4' ended with 4." in measured.trial.notices
    assert "The collect command 'sleep 60' ended with 124." in measured.trial.notices


async def test_where_nothing_is_left_nothing_is_written(suites: Suites) -> None:
    measured = await suites.one(test="[ -d /logs/artifacts ] && echo 1 > /logs/verifier/reward.txt")
    assert measured.trial.passed
    assert not measured.files().artifacts.exists()
