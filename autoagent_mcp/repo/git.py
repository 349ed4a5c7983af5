"""Run git's plumbing: no hooks, no prompts, no environment that points elsewhere."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from git.cmd import Git as GitPython
from git.exc import CommandError, GitCommandError

from autoagent_mcp.errors import RepoError, SetupError

_SETTINGS = (
    "-c", "core.hooksPath=/dev/null",  # reference-transaction hooks run for plumbing too
    "-c", "core.fsync=committed,loose-object,reference",  # git's default leaves loose objects to the kernel
)  # fmt: skip
_ENV = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
_KEPT = {
    *("GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"),
    *("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
}


class Git:
    """Runs git in one folder."""

    def __init__(self, folder: Path) -> None:
        self._git = GitPython(folder)

    def run(self, *args: str, data: bytes | None = None, env: Mapping[str, str] | None = None) -> bytes:
        """Run git and return its stdout.

        GIT_* variables are taken out of the environment: a server that was started by a git hook or an editor would
        otherwise work on another repository or index.

        Raises:
            RepoError: Git ended with an error.
            SetupError: There is no git.
        """
        foreign = sorted(name for name in os.environ if name.startswith("GIT_") and name not in _KEPT)
        unset = ["env", *(part for name in foreign for part in ("-u", name))] if foreign else []
        try:
            with tempfile.TemporaryFile() as stdin:
                stdin.write(data or b"")
                stdin.seek(0)
                return self._git.execute(
                    [*unset, "git", *_SETTINGS, *args],
                    istream=stdin,
                    stdout_as_string=False,
                    strip_newline_in_stdout=False,
                    env=_ENV | dict(env or {}),
                )
        except GitCommandError as error:
            raise RepoError(f"git {args[0]} failed: {_said(error)}.", "Mend that and call again.") from error
        except CommandError as error:
            raise SetupError("There is no git on this machine.", "Install git (apt-get install git).") from error

    def text(self, *args: str) -> str:
        """Run git and return its stdout without the last newline."""
        return self.run(*args).decode(errors="surrogateescape").rstrip("\n")

    def try_text(self, *args: str) -> str | None:
        """Run git; None where it ends with an error, for questions whose answer may be no."""
        try:
            return self.text(*args)
        except RepoError:
            return None


def _said(error: GitCommandError) -> str:
    said = str(error.stderr).strip().removeprefix("stderr: ").strip("'\n ")
    return said.removeprefix("fatal: ").splitlines()[0].rstrip(".") if said else f"exit status {error.status}"
