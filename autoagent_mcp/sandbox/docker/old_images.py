"""Images that this tool built long ago: found and removed, and no others."""

from __future__ import annotations

from docker.errors import APIError

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.sandbox.docker.engine import Client
from autoagent_mcp.sandbox.docker.labels import MADE, REPOSITORY

_GONE, _IN_USE = 404, 409


class BuiltImage(Frozen):
    """An image of ours."""

    tag: str
    size_bytes: int
    """With the layers that it shares with others."""


def remove_old(client: Client, created_before: float, *, is_rehearsal: bool) -> tuple[BuiltImage, ...]:
    """Remove our images that were created before a time and that no container uses; blocks.

    Ours has our label and our repository's name: a label alone is inherited by what others build upon our images, and
    another tag that somebody gave to one of them stays.

    Args:
        client: The engine's.
        created_before: In seconds since 1970; an image is as old as its last step, also where that was cached.
        is_rehearsal: Only tell what would be removed.

    Raises:
        docker.errors.DockerException: The engine does not answer.
    """
    used = {container["ImageID"] for container in client.containers(all=True)}
    filters = {"label": f"{MADE}=image", "reference": f"{REPOSITORY}/*"}
    found = [
        BuiltImage(tag=tag, size_bytes=image["Size"])
        for image in client.images(filters=filters)
        if image["Id"] not in used and image["Created"] < created_before
        for tag in image["RepoTags"] or ()
        if tag.startswith(f"{REPOSITORY}/")
    ]
    return tuple(image for image in found if is_rehearsal or _remove(client, image.tag))


def _remove(client: Client, tag: str) -> bool:
    try:
        client.remove_image(tag, noprune=True)
    except APIError as error:
        if error.status_code not in {_GONE, _IN_USE}:
            raise
        return False
    return True
