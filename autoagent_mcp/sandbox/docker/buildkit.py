"""Images from Dockerfiles, built by the engine's BuildKit.

Format: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageBuild with `version=2`. The
classic builder knows neither here-documents nor `RUN --mount`, and leaves untagged images where a build fails.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

import anyio
import anyio.to_thread
from docker.utils.config import load_general_config  # pyright: ignore[reportUnknownVariableType]
from docker.utils.proxy import ProxyConfig

from autoagent_mcp._text import quote
from autoagent_mcp.errors import EngineError, SandboxError
from autoagent_mcp.sandbox.docker.build_trace import BuildTrace
from autoagent_mcp.sandbox.docker.engine import Engine
from autoagent_mcp.sandbox.docker.progress import follow, said
from autoagent_mcp.sandbox.docker.pull import pull

_TAIL_LINES = 20
_TAIL_CHARS = 8000
_SHOWN_CHARS = 4000
_MAY_PASS = re.compile(
    r"network|connect|resolv|time[d-]* ?out|temporar|fetch|unable to access|dial tcp|error sending|sslerror|handshake"
    r"|eai_again|econn|etimedout|enotfound|returned error|\b(?:429|50[0-4])\b"
    r"|no space left|allocate memory|exit code: 137",
    re.IGNORECASE,
)
"""What curl, apt, pip, uv, npm, git and go say where the network or this machine is at fault. It may take in too much:
then a build is tried again in vain."""


class RecipeError(SandboxError):
    """A build that failed by its own doing: the same files would fail again."""


async def build(
    engine: Engine, tag: str, context: IO[bytes], *, labels: Mapping[str, str], timeout_sec: float, log: Path
) -> None:
    """Build an image; on a cancellation and past its time nothing of it goes on in the engine.

    Args:
        engine: Which builds.
        tag: The image's name afterwards.
        context: A tar archive with a Dockerfile.
        labels: On the image.
        timeout_sec: For all of it, images that have to be pulled for it too.
        log: Where the output goes as it comes; replaced.

    Raises:
        RecipeError: A step of it failed, and neither the network nor this machine seems to be at fault.
        SandboxError: It failed; with the end of the output.
        EngineError: The engine is away, or went away.
    """
    proxies = await anyio.to_thread.run_sync(_proxies)
    params = {"t": tag, "labels": json.dumps(dict(labels)), "buildargs": json.dumps(proxies)}
    with await anyio.to_thread.run_sync(_new, log) as file:
        output = _Output(file)
        try:
            await _until_built(engine, params, context, timeout_sec, output)
        except TimeoutError:
            raise _failure(tag, f"it took longer than {timeout_sec:g} s", output.end, log) from None
        except EngineError as error:
            if error.status is None:
                raise
            raise _failure(tag, error.problem, output.end, log) from error
    if output.error:
        may_pass = output.unknown_images or _MAY_PASS.search(f"{output.error}\n{output.end}")
        raise _failure(tag, output.error, output.end, log, SandboxError if may_pass else RecipeError)


def _failure(tag: str, why: str, end: str, log: Path, kind: type[SandboxError] = SandboxError) -> SandboxError:
    problem = f"The build of image {tag} failed: {why.rstrip('.')}. Its output ended so:\n{quote(end, _SHOWN_CHARS)}\n"
    return kind(problem, f"Correct its Dockerfile; the whole output is in {log}.")


async def _until_built(
    engine: Engine, params: Mapping[str, str], context: IO[bytes], timeout_sec: float, output: _Output
) -> None:
    """Build, pull what BuildKit looked up in vain, and build again; what it had done is cached.

    BuildKit has nobody to ask for a token here (https://github.com/moby/moby/issues/48112), but takes what is there.
    """
    deadline = anyio.current_time() + timeout_sec
    pulled: set[str] = set()
    while True:
        output.begin()
        context.seek(0)
        await _once(engine, params, context, deadline - anyio.current_time(), output)
        unknown = output.unknown_images - pulled
        if not unknown:
            return
        for image in sorted(unknown):
            output.write(f"pulling {image}\n")
            await pull(engine, image, timeout_sec=deadline - anyio.current_time())
        pulled |= unknown


async def _once(
    engine: Engine, params: Mapping[str, str], context: IO[bytes], timeout_sec: float, output: _Output
) -> None:
    build_id = uuid.uuid4().hex
    client = engine.client
    cancel = f"{client.base_url}/v{client.api_version}/build/cancel"
    await follow(
        engine,
        "/build",
        output.read,
        timeout_sec=timeout_sec,
        stop=lambda: client.post(cancel, params={"id": build_id}, timeout=client.timeout).close(),
        params={**params, "version": "2", "buildid": build_id},
        headers={"Content-Type": "application/x-tar"},
        data=context,
    )
    if not (output.is_built or output.error):
        raise EngineError("The Docker engine went away during a build.", "Look at its log.", None)


def _proxies() -> dict[str, str]:
    """Return what `docker build` passes from ~/.docker/config.json; it is part of no image."""
    settings = cast("dict[str, Any]", load_general_config())
    proxies = ProxyConfig.from_dict(settings.get("proxies", {}).get("default", {})).get_environment()
    return {name: str(value) for name, value in proxies.items()}


def _new(log: Path) -> IO[str]:
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)  # another server may still be writing to it
    return log.open("w", encoding="utf-8", errors="replace", buffering=1)


class _Output:
    """What a build says; `read` is called in a worker thread."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._tail = ""
        self.begin()

    @property
    def end(self) -> str:
        """The last lines."""
        return "\n".join(self._tail.splitlines()[-_TAIL_LINES:])

    def begin(self) -> None:
        self._trace = BuildTrace()
        self.is_built = False
        self.error = ""
        self.unknown_images: set[str] = set()

    def read(self, line: dict[str, Any]) -> None:
        if line.get("id") == "moby.buildkit.trace":
            for event in self._trace.read(base64.b64decode(line["aux"])):
                self.write(event.text)
                self.unknown_images.update(filter(None, [event.unknown_image]))
        elif line.get("id") == "moby.image.id":
            self.is_built = True
        elif error := said(line):
            self.error = error

    def write(self, text: str) -> None:
        self._file.write(text)
        self._tail = (self._tail + text)[-_TAIL_CHARS:]
