"""Images from a registry, with the credentials that `docker login` left."""

from __future__ import annotations

from typing import Any

from docker import auth
from docker.errors import InvalidRepository
from docker.utils import parse_repository_tag

from autoagent_mcp.errors import EngineError, SandboxError
from autoagent_mcp.sandbox.docker.engine import Engine, clause
from autoagent_mcp.sandbox.docker.progress import follow, said

_HINT = "Correct its name, `docker login` where it is private, or bring it to the engine yourself (`docker load`)."


async def pull(engine: Engine, image: str, *, timeout_sec: float) -> None:
    """Pull an image.

    Raises:
        SandboxError: No registry has it for us, or the time is up.
        EngineError: The engine is away.
    """
    complaints: list[str] = []

    def on_line(line: dict[str, Any]) -> None:
        complaints.extend(filter(None, [said(line)]))

    repository, tag = parse_repository_tag(image)
    params = {"fromImage": repository, "tag": tag or "latest"}
    try:
        headers = await engine.call(_credentials, engine, repository)
        await follow(engine, "/images/create", on_line, timeout_sec=timeout_sec, params=params, headers=headers)
    except TimeoutError:
        complaints.append(f"it took longer than {timeout_sec:g} s")
    except EngineError as error:
        if error.status is None:
            raise
        complaints.append(error.problem)
    except InvalidRepository as error:
        complaints.append(str(error))
    if complaints:
        raise SandboxError(f"Image {image} is not on the engine and cannot be pulled: {clause(complaints[0])}.", _HINT)


def _credentials(engine: Engine, repository: str) -> dict[str, str | bytes]:
    registry, _name = auth.resolve_repository_name(repository)
    header = auth.get_config_header(engine.client, registry)  # pyright: ignore[reportUnknownMemberType]
    return {"X-Registry-Auth": header} if header else {}
