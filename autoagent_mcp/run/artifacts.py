"""What a task asks to keep of its sandbox."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import anyio

from autoagent_mcp.errors import SandboxRefused
from autoagent_mcp.models.task import Artifact, Task
from autoagent_mcp.models.trial import TrialFiles
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Sandbox

LIMIT_BYTES = 64 * 1024 * 1024
LIMIT_FILES = 10_000
CONVENTION = "/logs/artifacts"
_disk = anyio.CapacityLimiter(4)


async def collect(task: Task, sandbox: Sandbox, files: TrialFiles) -> tuple[str, ...]:
    """Run the task's collect commands, copy its artifacts and /logs/artifacts out, and say what could not be copied.

    As under Harbor this never fails a trial: what is missing is passed over, what is hostile or over 64 MiB is named.

    Raises:
        SandboxError: The sandbox is gone.
    """
    for hook in task.config.verifier.collect:
        await sandbox.exec(hook.command, timeout_sec=hook.timeout_sec, user=hook.user)
    complaints: list[str] = []
    for artifact in (Artifact(source=CONVENTION), *map(_whole, task.config.artifacts)):
        try:
            await _copy(artifact, sandbox, files)
        except SandboxRefused as error:
            complaints.append(f"The artifact {artifact.source} was not kept. {error.problem}")
    return tuple(complaints)


async def _copy(artifact: Artifact, sandbox: Sandbox, files: TrialFiles) -> None:
    data = await sandbox.get(artifact.source, limit_bytes=LIMIT_BYTES)
    if data is None:
        return
    place = PurePosixPath("/", artifact.destination or artifact.source).relative_to("/")
    if ".." in place.parts:
        raise SandboxRefused(f"Its destination {place} leads out of the trial's folder.", "Correct task.toml.")
    await anyio.to_thread.run_sync(_unpack, data, files.artifacts / place, limiter=_disk)


def _unpack(data: bytes, target: Path) -> None:
    archive.unpack(data, target, limit_bytes=LIMIT_BYTES, limit_files=LIMIT_FILES)


def _whole(artifact: str | Artifact) -> Artifact:
    return Artifact(source=artifact) if isinstance(artifact, str) else artifact
