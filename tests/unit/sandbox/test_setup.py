"""A machine that cannot is told what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend

CHECK = """
import sys
from pathlib import Path
import anyio
from autoagent_mcp.errors import SetupError
from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend
try:
    anyio.run(BubblewrapBackend("0123456789ab", Path(sys.argv[1])).check)
except SetupError as error:
    print(error)
else:
    print("works")
"""


async def test_a_machine_that_can_passes(backend: BubblewrapBackend) -> None:
    await backend.check()


def test_switched_off_namespaces_are_named_with_their_cure(tmp_path: Path) -> None:
    """A user namespace has a switch of its own, which here stands for the machine's."""
    script = f'echo 0 > /proc/sys/user/max_user_namespaces && exec "{sys.executable}" -c "$1" "{tmp_path}"'
    result = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", CHECK],
        capture_output=True,
        check=True,
        text=True,
    )
    assert "Sandbox check could not be started" in result.stdout
    assert "sudo sysctl -w user.max_user_namespaces=15000" in result.stdout


def _python_for_all() -> str | None:
    """Return a Python of our version that an ordinary user can start, if there is one."""
    python = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin")
    packages = Path(pytest.__file__).parents[1]
    reachable = all(folder.stat().st_mode & 0o001 for folder in (packages, *packages.parents, Path(__file__).parent))
    return python if reachable and shutil.which("setpriv") else None


@pytest.fixture
def ordinary_home() -> Generator[Path]:
    """Make a folder that an ordinary user reaches, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 1000, 1000)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="the suite runs as an ordinary user already")
@pytest.mark.skipif(_python_for_all() is None, reason="no Python of this version that an ordinary user can start")
@pytest.mark.timeout(240)
def test_an_ordinary_user_gets_the_same(ordinary_home: Path) -> None:
    tests = Path(__file__).parents[2]
    packages = Path(pytest.__file__).parents[1]
    done = subprocess.run(
        [
            *("setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", str(_python_for_all())),
            *(
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                *("-p", "no:xdist"),
                f"--basetemp={ordinary_home}/tests",
                *("-k", "bubblewrap"),
                str(tests / "contract"),
            ),
        ],
        cwd=tests.parent,
        env={
            "HOME": str(ordinary_home),
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{tests.parent}:{packages}",
        },
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
