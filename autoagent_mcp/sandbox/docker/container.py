"""What a container is made with."""

from __future__ import annotations

from typing import Any

from autoagent_mcp.sandbox.base import Limits, SandboxSpec
from autoagent_mcp.sandbox.docker import labels, seccomp

_MAIN = ["sleep", "infinity"]
_NOBODY = "65534:65534"
_MB = 1024 * 1024
_OOM_SCORE = 500
"""Should the machine run out of memory: rather a sandbox than the server."""
_READ_ONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger"]
"""Docker's own list without /proc/sys: each trial's child forbids further user namespaces there, in its own one. Who is
not root outside can change nothing else in it."""


def options(spec: SandboxSpec, *, workspace_id: str, owner: str, network: str | None) -> dict[str, Any]:
    """Return the arguments for `APIClient.create_container`.

    Args:
        spec: What to start.
        workspace_id: For the label.
        owner: For the label.
        network: The engine's name of the network that it may use; None for none.
    """
    return {
        "image": spec.image.id,
        "command": _MAIN,
        "environment": {**({} if spec.role == "task" else {"HOME": "/tmp"}), **spec.env},  # noqa: S108 - its own
        "hostname": "sandbox",
        "labels": {labels.MADE: "sandbox", labels.WORKSPACE: workspace_id, labels.OWNER: owner, labels.NAME: spec.name},
        "working_dir": str(spec.workdir or spec.image.workdir),
        "host_config": _host_config(spec.limits, network) | (_for_harness(spec) if spec.role == "harness" else {}),
        **({"user": _NOBODY, "entrypoint": []} if spec.role == "harness" else {}),
    }


def _host_config(limits: Limits, network: str | None) -> dict[str, Any]:
    """Write the engine's HostConfig (https://docs.docker.com/reference/api/engine/, "Create a container")."""
    return {
        "Init": True,
        "NetworkMode": network or "none",
        "NanoCpus": 0 if limits.cpus is None else int(limits.cpus * 1e9),
        "Memory": limits.memory_mb * _MB,
        "MemorySwap": limits.memory_mb * _MB,
        "PidsLimit": limits.processes,
        "OomScoreAdj": _OOM_SCORE,
        "LogConfig": {"Type": "none", "Config": {}},
    }


def _for_harness(spec: SandboxSpec) -> dict[str, Any]:
    size = f"size={spec.limits.storage_mb}m"
    return {
        "ReadonlyRootfs": True,
        "Tmpfs": {"/tmp": f"rw,nosuid,nodev,{size},mode=1777", "/harness": f"rw,nosuid,nodev,{size},mode=1777"},  # noqa: S108
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", "apparmor=unconfined", f"seccomp={seccomp.profile()}"],
        "ReadonlyPaths": _READ_ONLY_PATHS,
        "IpcMode": "private",
    }
