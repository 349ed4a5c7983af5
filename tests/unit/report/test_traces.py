"""A trial as a script: all that is in its folder, and nothing that its folder only points to."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from autoagent_mcp.models.trial import Trial, TrialFiles
from autoagent_mcp.report.traces import FILE_LIMIT_BYTES, call

TRIAL = Trial(
    id="one__1", task="one", attempt=1, reward=1.0, passed=True, started_at=datetime.now(timezone.utc), duration_sec=1.0
)


@pytest.fixture
def files(tmp_path: Path) -> TrialFiles:
    """Return the place of a trial with a trace."""
    found = TrialFiles(folder=tmp_path / "one__1")
    found.verifier.mkdir(parents=True)
    found.trajectory.write_text('{"steps": [{"step_id": 1, "message": "</script><script>"}]}', encoding="utf-8")
    return found


def document(files: TrialFiles) -> dict[str, Any]:
    """Return what the script hands to the page."""
    script = call("0001", TRIAL, files)
    name, packed = re.fullmatch(rb'autoagent\.deliver\("([^"]*)","([A-Za-z0-9+/=]*)"\);\n', script).groups()  # pyright: ignore[reportOptionalMemberAccess]
    assert name == b"0001/one__1"
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_a_script_holds_the_trial_its_trace_and_its_files(files: TrialFiles) -> None:
    (files.verifier / "test-stdout.txt").write_bytes(b"caf\xc3\xa9 \xff")
    (files.verifier / "reward.txt").write_text("1\n", encoding="utf-8")
    files.harness_log.touch()
    files.execs.write_text("{}", encoding="utf-8")
    found = document(files)
    assert found["trial"]["id"] == "one__1"
    assert found["trajectory"]["steps"][0]["message"] == "</script><script>"
    assert found["files"] == [
        {"path": "harness.log", "size": 0, "text": ""},
        {"path": "verifier/reward.txt", "size": 2, "text": "1\n"},
        {"path": "verifier/test-stdout.txt", "size": 7, "text": "café \N{REPLACEMENT CHARACTER}"},
    ]


def test_no_link_pipe_or_device_is_followed(files: TrialFiles, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    files.artifacts.mkdir()
    (files.artifacts / "link").symlink_to(tmp_path / "secret")
    (files.artifacts / "folder").symlink_to(tmp_path)
    os.mkfifo(files.artifacts / "pipe")
    files.trajectory.unlink()
    files.trajectory.symlink_to(tmp_path / "secret")
    assert document(files) == {"trial": json.loads(TRIAL.model_dump_json()), "trajectory": None, "files": []}


def test_a_folder_deeper_than_any_path_may_be_long_hides_nothing_else(files: TrialFiles, tmp_path: Path) -> None:
    (files.verifier / "reward.txt").write_text("1\n", encoding="utf-8")
    files.artifacts.mkdir()
    deepest = os.open(files.artifacts, os.O_RDONLY)
    for _ in range(2_100):
        os.mkdir("d", dir_fd=deepest)
        below = os.open("d", os.O_RDONLY, dir_fd=deepest)
        os.close(deepest)
        deepest = below
    os.close(deepest)
    try:
        assert [file["path"] for file in document(files)["files"]] == ["verifier/reward.txt"]
    finally:  # beyond what shutil can remove
        subprocess.run(["rm", "-rf", str(tmp_path / "one__1")], check=True)


def test_of_a_long_file_both_ends_are_shown_and_of_binary_ones_none(files: TrialFiles) -> None:
    (files.verifier / "long.txt").write_bytes(b"a" + b"-" * FILE_LIMIT_BYTES + b"z")
    (files.verifier / "program").write_bytes(b"\x7fELF\0")
    long, program = document(files)["files"]
    assert (long["text"][0], long["text"][-1], long["size"]) == ("a", "z", FILE_LIMIT_BYTES + 2)
    assert "[... 2 bytes left out ...]" in long["text"]
    assert program == {"path": "verifier/program", "size": 5, "text": None}


def test_numbers_that_a_browser_does_not_read_become_text(files: TrialFiles) -> None:
    files.trajectory.write_text('{"steps": [NaN, -Infinity, "NaN"]}', encoding="utf-8")
    assert document(files)["trajectory"] == {"steps": ["NaN", "-Infinity", "NaN"]}


@pytest.mark.parametrize("rest", ["broken", "1" * 5_000, "[" * 100_000 + "]" * 100_000])
def test_such_a_trace_that_cannot_be_read_is_none(files: TrialFiles, rest: str) -> None:
    files.trajectory.write_text(f'{{"steps": [NaN, {rest}]}}', encoding="utf-8")
    assert document(files)["trajectory"] is None


def test_a_trial_whose_folder_is_gone_has_no_trace(files: TrialFiles) -> None:
    files.trajectory.unlink()
    assert document(files)["trajectory"] is None


@pytest.mark.parametrize("rest", [b"", b'{"steps": [{"step', b"\0" * 100])
def test_a_trace_that_broke_off_is_none(files: TrialFiles, rest: bytes) -> None:
    files.trajectory.write_bytes(rest)
    assert document(files)["trajectory"] is None
