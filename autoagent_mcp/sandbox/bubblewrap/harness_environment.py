"""The Python libraries of a harness: installed by uv into a folder that is kept by content.

Wheels only, so that nothing of a package runs here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import uv

from autoagent_mcp._text import quote
from autoagent_mcp.errors import HarnessError
from autoagent_mcp.sandbox.requirements import INSTALL_HINT, checked

_SAID_CHARS = 1_500


def build(requirements: str, cache: Path) -> Path:
    """Return the folder with the libraries, installed where it is not there yet; blocks meanwhile.

    Args:
        requirements: The text of `.agent/requirements.txt`.
        cache: Where such folders are kept.

    Raises:
        HarnessError: A line is no plain requirement, or it cannot be installed.
        OSError: The cache cannot be written.
    """
    wanted = checked(requirements)
    folder = _place(wanted, cache)
    if folder.is_dir():
        os.utime(folder)  # `autoagent-mcp clean` goes by it
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(folder.with_suffix(".lock")):
        if not folder.is_dir():
            _build(wanted, folder)
    return folder


def place(requirements: str, cache: Path) -> Path:
    """Return where `build` puts, or has put, the libraries.

    Raises:
        HarnessError: A line is no plain requirement.
    """
    return _place(checked(requirements), cache)


def rehearse(requirements: str) -> None:
    """See that the libraries could be installed, without installing any; asks the package index, and blocks meanwhile.

    Raises:
        HarnessError: As `build`.
    """
    with tempfile.TemporaryDirectory(prefix="autoagent-libraries-") as target:
        _install(checked(requirements), Path(target), "--dry-run")


def _place(wanted: list[str], cache: Path) -> Path:
    facts = "\n".join([*wanted, sys.version, version("uv")])
    return cache / "harness" / hashlib.sha256(facts.encode()).hexdigest()[:24]


@contextmanager
def _only_one(lock: Path) -> Generator[None]:
    """Wait until no other process builds the same."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(wanted: list[str], folder: Path) -> None:
    """Install beside and rename, so that a crash leaves nothing half."""
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        if wanted:
            _install(wanted, beside)
        _let_everyone_read(beside)
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _install(wanted: list[str], target: Path, *options: str) -> None:
    done = subprocess.run(
        [
            *(uv.find_uv_bin(), "pip", "install", "--quiet", "--only-binary", ":all:"),
            *("--python", str(Path(sys.executable).resolve()), "--target", str(target), "--link-mode", "copy"),
            *("--compile-bytecode", "--requirements", "-"),
            *options,
        ],
        input="\n".join(wanted).encode(),
        capture_output=True,
        check=False,
        cwd=target,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise HarnessError(f"The harness's libraries cannot be installed: {quote(said, _SAID_CHARS)}", INSTALL_HINT)


def _let_everyone_read(folder: Path) -> None:
    """A sandbox may run as another uid than the server's."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
