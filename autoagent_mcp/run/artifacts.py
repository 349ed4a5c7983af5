"""What a task asks to keep of its sandbox."""

from __future__ import annotations

from autoagent_mcp.models.task import Artifact, Task
from autoagent_mcp.models.trial import TrialFiles
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Sandbox

LIMIT_BYTES = 64 * 1024 * 1024
LIMIT_FILES = 10_000
CONVENTION = "/logs/artifacts"


async def collect(task: Task, sandbox: Sandbox, files: TrialFiles) -> None:
    """Run the task's collect commands, then copy its artifacts and /logs/artifacts out. What is missing is passed over.

    Raises:
        SandboxError: The sandbox is gone, or an artifact is over 64 MiB.
    """
    for hook in task.config.verifier.collect:
        await sandbox.exec(hook.command, timeout_sec=hook.timeout_sec, user=hook.user)
    for artifact in (Artifact(source=CONVENTION), *map(_whole, task.config.artifacts)):
        data = await sandbox.get(artifact.source, limit_bytes=LIMIT_BYTES)
        if data is None:
            continue
        target = files.artifacts / (artifact.destination or artifact.source.lstrip("/"))
        archive.unpack(data, target, limit_bytes=LIMIT_BYTES, limit_files=LIMIT_FILES)


def _whole(artifact: str | Artifact) -> Artifact:
    return Artifact(source=artifact) if isinstance(artifact, str) else artifact
