"""Which changed paths decide how tests run."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import PurePosixPath

import pytest

from autoagent_mcp.models.trial import Trial
from autoagent_mcp.run.tampering import notice, run_notice, system_paths

APP = PurePosixPath("/app")


@pytest.mark.parametrize(
    "path",
    [
        "/bin/sh",
        "/usr/bin/curl",
        "/usr/local/bin/grep",
        "/usr/local/lib/python3.11/site-packages/x.pth",
        "/usr/lib/python3/dist-packages/sitecustomize.py",
        "/opt/venv/lib/python3.11/site-packages/evil.pth",
        "/home/me/sitecustomize.py",
        "/lib64/ld-linux-x86-64.so.2",
        "/etc/ld.so.preload",
        "/etc/profile.d/x.sh",
        "/etc/bash.bashrc",
        "/etc/environment",
        "/etc/cron.d/x",
        "/var/spool/cron/crontabs/root",
        "/root/.bashrc",
        "/tests/conftest.py",
        "/logs/verifier/reward.txt",
        "/conftest.py",
        "/app/conftest.py",
        "/app/pytest.ini",
        "/app/pyproject.toml",
    ],
)
def test_what_every_shell_linker_python_or_pytest_reads_is_of_the_system(path: str) -> None:
    assert system_paths([path], APP) == (path,)


@pytest.mark.parametrize(
    "path",
    [
        "/app/main.py",
        "/app/deep/conftest.py",
        "/app/bin/tool",
        "/home/me/.bashrc",
        "/etc/hosts",
        "/var/lib/dpkg/status",
        "/logs/agent/oracle.txt",
        "/logs/verifier",
        "/tests",
        "/tmp/usr/bin/curl",  # noqa: S108
        "/binary",
    ],
)
def test_what_only_the_task_reads_is_not(path: str) -> None:
    assert system_paths([path], APP) == ()


def test_a_folder_counts_only_by_what_is_in_it() -> None:
    assert system_paths(["/usr", "/usr/bin", "/usr/bin/curl"], APP) == ("/usr/bin/curl",)


def test_a_few_paths_are_named_and_many_are_counted() -> None:
    few = ("/bin/sh", "/usr/bin/curl")
    assert notice(few, few) == (
        "The agent changed 2 system paths before the tests ran in the same sandbox: /bin/sh, /usr/bin/curl."
    )
    many = tuple(f"/usr/{folder}/{number}" for folder in ("bin", "lib") for number in range(200))
    assert "400 system paths before the tests ran in the same sandbox: /usr/bin (200), /usr/lib (200)." in notice(
        many, many
    )
    wide = tuple(f"/usr/lib/{number}" for number in range(9)) + tuple(f"/lib/{number}/x" for number in range(9))
    assert notice(wide, wide).endswith("/lib/0 (1), /lib/1 (1), /lib/2 (1), /lib/3 (1), 5 more folders.")


def test_installed_packages_are_told_as_what_they_are() -> None:
    installed = ["/usr/bin/jq", "/var/lib/dpkg/status"]
    assert notice(("/usr/bin/jq",), installed).endswith("/usr/bin/jq. It installed packages, which does this.")


def test_a_run_names_the_trials_with_the_most_changes_first_and_says_nothing_where_there_are_none() -> None:
    trials = [
        Trial(
            id=f"{count}__1",
            task=str(count),
            attempt=1,
            reward=1.0,
            passed=True,
            started_at=datetime.now(timezone.utc),
            duration_sec=1.0,
            changed_system_paths=count,
        )
        for count in range(8)
    ]
    (said,) = run_notice(trials)
    assert "In 7 of the trials" in said
    assert "7__1 (7), 6__1 (6), 5__1 (5), 4__1 (4), 3__1 (3) and 2 more" in said
    assert run_notice(trials[:1]) == ()
