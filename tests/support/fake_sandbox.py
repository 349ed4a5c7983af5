"""A sandbox in memory, for what only needs something to answer."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from autoagent_mcp.errors import SandboxError, SandboxRefused
from autoagent_mcp.sandbox.base import ARCHIVE_LIMIT_BYTES, ExecResult, Network, Process


class FakeSandbox:
    """Answers `echo X` with X, keeps files by path, and can be lost."""

    def __init__(self) -> None:
        self.is_lost = False
        self.files: dict[str, bytes] = {}
        self.commands: list[dict[str, object]] = []
        self.started = anyio.Event()

    async def exec(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_sec: float | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """Run `echo ...`, `yes` (much output), `sleep` (until cancelled) or `slow` (past its time)."""
        self._check()
        if user not in (None, "root", 0):
            raise SandboxRefused(f"This sandbox has no user {user!r}.", "Use root.")
        self.commands.append({"command": command, "cwd": cwd, "env": env, "timeout_sec": timeout_sec, "user": user})
        self.started.set()
        if command == "sleep":
            await anyio.sleep_forever()
        if command == "slow":
            return ExecResult(stdout="so far", stderr="", return_code=124, timed_out=True)
        if command == "yes":
            return ExecResult(stdout="y\n" * 400_000, stderr="", return_code=0)
        if command.startswith("echo "):
            return ExecResult(stdout=command[5:] + "\n", stderr="", return_code=0)
        return ExecResult(stdout="", stderr=f"{command}: command not found", return_code=127)

    async def spawn(
        self, argv: tuple[str, ...], *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> Process:
        """Refuse: nothing in memory can run."""
        raise SandboxRefused(f"This sandbox cannot spawn {argv[0]!r} ({cwd}, {env}).", "Use a real one.")

    async def put(self, archive: bytes, target: str) -> None:
        """Keep an archive."""
        self._check()
        self.files[target] = archive

    async def get(self, source: str, *, limit_bytes: int = ARCHIVE_LIMIT_BYTES) -> bytes | None:
        """Return what was put."""
        self._check()
        archive = self.files.get(source)
        if archive is not None and len(archive) > limit_bytes:
            raise SandboxError(f"The archive of {source} is over {limit_bytes} bytes.", "Fetch less.")
        return archive

    async def note_startup(self) -> None:
        """There is none."""

    async def kill_all(self) -> None:
        """Do nothing: nothing is left running."""
        self._check()

    async def use_network(self, network: Network) -> None:
        """Do nothing: there is no network."""

    async def changes(self) -> tuple[str, ...]:
        """Return the paths that were put."""
        return tuple(sorted(self.files))

    def _check(self) -> None:
        if self.is_lost:
            raise SandboxError("The sandbox is gone.", "Run the trial again.")
