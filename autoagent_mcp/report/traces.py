"""Trials with all that is known of them, as scripts: a page from a file may load no data but by scripts.

A script is one call for each trial with base64 of gzipped JSON: nothing that came out of a sandbox is ever code.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import itertools
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autoagent_mcp.models.trial import Trial, TrialFiles

FILE_LIMIT_BYTES = 8_000_000
"""Of a longer file the beginning and the end are shown."""
TRIAL_LIMIT_BYTES = 16_000_000
"""Of all files of a trial together; of what comes later only the name and size are told."""
_TRAJECTORY_LIMIT_BYTES = 64_000_000
_MOST_FILES = 200
_LOOKED_AT_BYTES = 8_192
"""For a zero byte, which no text has."""
_RECORDS = {"trial.json", "trajectory.json", "model_calls.jsonl", "judge_calls.jsonl", "execs.jsonl"}
"""What the page shows as a trace, or what that was made of."""
_LEVEL = 3
"""A third of the time of the usual 9, and a tenth more bytes."""


def path_of(run_id: str, number: int) -> Path:
    """Return where a script lies, seen from the page."""
    return Path("traces", run_id, f"{number}.js")


def document(trial: Trial, files: TrialFiles) -> bytes:
    """Return a trial with its trajectory and its other files, as JSON."""
    return b'{"trial":%s,"trajectory":%s,"files":%s}' % (
        trial.model_dump_json().encode(),
        _trajectory(str(files.trajectory)),
        json.dumps(_files(str(files.folder))).encode(),
    )


def call(run_id: str, trial: Trial, files: TrialFiles) -> bytes:
    """Return the call that hands a trial to the page."""
    packed = base64.b64encode(gzip.compress(document(trial, files), _LEVEL, mtime=0))
    return b'autoagent.deliver(%s,"%s");\n' % (json.dumps(f"{run_id}/{trial.id}").encode(), packed)


def _trajectory(path: str) -> bytes:
    data = _read(path, _TRAJECTORY_LIMIT_BYTES + 1)
    if data is None or len(data) > _TRAJECTORY_LIMIT_BYTES:
        return b"null"
    if not (data.startswith(b"{") and data.rstrip().endswith(b"}")):  # broken off, as by a full disk
        return b"null"
    if b"NaN" in data or b"Infinity" in data:  # a model may say what JSON in a browser does not know
        return _without_constants(data)
    return data


def _without_constants(data: bytes) -> bytes:
    try:
        return json.dumps(json.loads(data, parse_constant=str)).encode()
    except (ValueError, RecursionError):  # damaged, or with numbers or nesting beyond what can be read
        return b"null"


def _files(folder: str) -> list[dict[str, Any]]:
    """Return what else lies in a trial's folder: path, size and, where it is text, what it says."""
    found: list[dict[str, Any]] = []
    left = TRIAL_LIMIT_BYTES
    for path, size in itertools.islice(_listed(folder), _MOST_FILES):
        shown = min(size, FILE_LIMIT_BYTES)
        text = ("" if not size else _text(f"{folder}/{path}", size)) if shown <= left else None
        left -= shown if text is not None else 0
        found.append({"path": path, "size": size, "text": text})
    return found


def _listed(folder: str) -> Iterator[tuple[str, int]]:
    """Yield the regular files; a link made in a sandbox could lead anywhere, so none is followed.

    What cannot be looked at, such as a path too long for the kernel or a file that just went, is left out.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(f"{folder}/{below}") as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        waiting += [f"{below}{entry.name}/" for entry in reversed(found) if entry.is_dir(follow_symlinks=False)]
        for entry in found:
            if entry.is_file(follow_symlinks=False) and (below or entry.name not in _RECORDS):
                with contextlib.suppress(OSError):
                    yield below + entry.name, entry.stat(follow_symlinks=False).st_size


def _text(path: str, size: int) -> str | None:
    data = _read(path, FILE_LIMIT_BYTES) if size <= FILE_LIMIT_BYTES else _ends(path, size)
    return None if data is None or b"\0" in data[:_LOOKED_AT_BYTES] else data.decode(errors="replace")


def _ends(path: str, size: int) -> bytes | None:
    half = FILE_LIMIT_BYTES // 2
    head, tail = _read(path, half), _read(path, half, start=size - half)
    left_out = b"\n[... %d bytes left out ...]\n" % (size - 2 * half)
    return None if head is None or tail is None else head + left_out + tail


def _read(path: str, limit_bytes: int, *, start: int = 0) -> bytes | None:
    """Read a regular file that is no link; None where it is none, or cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        file.seek(start)
        return file.read(min(limit_bytes, status.st_size))  # what may come is allocated at once
