"""What servers that were killed have left in the engine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from docker.errors import APIError, NotFound

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.sandbox.docker import labels
from autoagent_mcp.sandbox.docker.engine import Client
from autoagent_mcp.sandbox.docker.owners import Owner

_IN_PROGRESS = 409
_FRACTION = re.compile(r"\.\d+")


class Leftover(Frozen):
    """A sandbox, or a network of sandboxes, whose maker is dead."""

    kind: Literal["sandbox", "network"]
    id: str
    created: float
    """Seconds since 1970."""


def find(client: Client, owner: Owner, workspace_id: str | None = None) -> tuple[Leftover, ...]:
    """Find what dead makers of this installation left, of one workspace or of all; sandboxes first; blocks.

    Raises:
        docker.errors.DockerException: The engine does not answer.
    """
    label = labels.OWNER if workspace_id is None else f"{labels.WORKSPACE}={workspace_id}"
    dead: dict[str, bool] = {}

    def is_left(found: Mapping[str, Any]) -> bool:
        carried: Mapping[str, str] = found.get("Labels") or {}
        maker = carried.get(labels.OWNER, "")
        if maker not in dead:
            dead[maker] = owner.is_dead(maker)
        return dead[maker]

    def look() -> Iterator[Leftover]:
        for container in filter(is_left, client.containers(all=True, filters={"label": label})):
            yield Leftover(kind="sandbox", id=container["Id"], created=container["Created"])
        for network in filter(is_left, client.networks(filters={"label": label})):
            yield Leftover(kind="network", id=network["Id"], created=_seconds(network["Created"]))

    return tuple(look())


def _seconds(moment: str) -> float:
    """Read RFC 3339, to the second: Python reads nanoseconds from 3.11 on only."""
    return datetime.fromisoformat(_FRACTION.sub("", moment).replace("Z", "+00:00")).timestamp()


def remove(client: Client, leftover: Leftover) -> None:
    """Remove what was found; blocks.

    Raises:
        docker.errors.DockerException: The engine does not answer, or refused.
    """
    if leftover.kind == "sandbox":
        remove_container(client, leftover.id)
    else:
        remove_network(client, leftover.id)


def remove_container(client: Client, container: str) -> None:
    """Kill a container and remove it with its volumes; one that is gone already is no error; blocks.

    Raises:
        docker.errors.DockerException: The engine does not answer, or refused.
    """
    try:
        client.remove_container(container, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != _IN_PROGRESS:
            raise


def remove_network(client: Client, network: str) -> None:
    """Remove a network, once nothing uses it; blocks.

    Raises:
        docker.errors.DockerException: The engine does not answer, or refused.
    """
    try:
        client.remove_network(network)
    except NotFound:
        return
