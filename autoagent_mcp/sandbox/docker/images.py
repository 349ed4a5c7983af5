"""The images of tasks: taken as they are or built once for each content, and kept under that name across runs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from autoagent_mcp._io import write_whole
from autoagent_mcp.errors import EngineError, SandboxError
from autoagent_mcp.models.task import ENVIRONMENT, ImageSource, Task
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Image
from autoagent_mcp.sandbox.docker import buildkit, task_fit
from autoagent_mcp.sandbox.docker.build_context import BuildContext
from autoagent_mcp.sandbox.docker.buildkit import RecipeError
from autoagent_mcp.sandbox.docker.engine import Engine
from autoagent_mcp.sandbox.docker.labels import MADE, REPOSITORY
from autoagent_mcp.sandbox.docker.pull import pull

_T = TypeVar("_T")
_AT_ONCE = 2
_TAG_DIGITS = 32
_NOT_FOUND = 404
_FILES_HINT = "Make the task's files readable, and free the disk."


class Images:
    """Makes images ready; any number of callers may ask for the same one at once.

    Args:
        engine: Where they are kept.
        cache: The folder for the builds' output (`builds/`) and for files that are laid over images (`layers/`).
    """

    def __init__(self, engine: Engine, cache: Path) -> None:
        self._engine = engine
        self._cache = cache
        self._making: dict[str, _Making] = {}
        self._slots = anyio.CapacityLimiter(_AT_ONCE)
        self._files = anyio.CapacityLimiter(_AT_ONCE)
        self._digests: dict[tuple[Path, str, str], str] = {}
        self._failed: dict[str, tuple[str, str]] = {}
        """What was said of builds that would fail again, by the image's tag, which goes by its content."""

    async def of_task(self, task: Task, source: ImageSource) -> Image:
        """Make a task's image ready: `docker_image` as it is, pulled where it is missing, else its Dockerfile's.

        Loose files of environment/ beside a `docker_image` become a layer below the workdir, as under Harbor.

        Raises:
            SandboxError: It cannot be pulled or built; with the end of the build's output.
            EngineError: The engine is away.
        """
        try:
            return await self._of_task(task, source)
        except OSError as error:
            raise SandboxError(f"The image of task {task.name} could not be made: {error}.", _FILES_HINT) from error
        except EngineError:
            raise
        except SandboxError as error:
            raise SandboxError(f"Task {task.name}, {source.folder}/: {error.problem}", error.hint) from error

    async def _of_task(self, task: Task, source: ImageSource) -> Image:
        folder, wanted = task.folder / source.folder, source.environment
        if wanted.docker_image is not None:
            name = wanted.docker_image
            facts = await self._ready(name, lambda: pull(self._engine, name, timeout_sec=wanted.build_timeout_sec))
        else:
            context = await self._in_thread(BuildContext.of_folder, folder)
            key = (folder, task.digest, source.folder)
            if key not in self._digests:
                self._digests[key] = await self._in_thread(context.digest)
            name = _tag(f"{REPOSITORY}/task", self._digests[key])
            facts = await self._ready(name, lambda: self._build(name, context, wanted.build_timeout_sec))
        config: dict[str, Any] = facts["Config"] or {}
        workdir = PurePosixPath(config.get("WorkingDir") or "/")
        is_finished = wanted.docker_image is not None and source.folder == ENVIRONMENT
        has_loose_files = is_finished and task_fit.has_loose_files(folder)
        target = PurePosixPath(wanted.workdir) if wanted.workdir else workdir
        return Image(
            id=name,
            base=name,
            workdir=workdir,
            env=dict(pair.partition("=")[::2] for pair in config.get("Env") or ()),
            layers=(await self._in_thread(self._layer, folder, target),) if has_loose_files else (),
            has_startup=bool(config.get("Entrypoint")),
        )

    async def id_of(self, name: str, *, timeout_sec: float) -> str:
        """Return the engine's id of a named image, pulled first where it is missing.

        Raises:
            SandboxError: It cannot be pulled.
            EngineError: The engine is away.
        """
        facts = await self._ready(name, lambda: pull(self._engine, name, timeout_sec=timeout_sec))
        return str(facts["Id"])

    async def built(self, repository: str, context: BuildContext, *, timeout_sec: float) -> str:
        """Build a context where it is not built yet and return its image's tag: `<repository>:<content hash>`.

        Raises:
            SandboxError: The build failed; with the end of its output.
            EngineError: The engine is away.
            OSError: A file cannot be read, or the cache not be written.
        """
        tag = _tag(repository, await self._in_thread(context.digest))
        await self._ready(tag, lambda: self._build(tag, context, timeout_sec))
        return tag

    async def _ready(self, name: str, make: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        """Return what the engine knows of an image, made first where it is missing; who comes meanwhile waits."""
        while making := self._making.get(name):
            await making.ended.wait()
            if making.failure is not None:
                raise making.failure
            if making.facts is not None:
                return making.facts
        making = self._making[name] = _Making()
        try:
            facts = await self._inspect(name)
            if facts is None:
                async with self._slots:
                    await make()
                facts = await self._engine.call(self._engine.client.inspect_image, name)
            making.facts = facts
        except SandboxError as error:
            making.failure = error
            raise
        finally:
            del self._making[name]
            making.ended.set()
        return facts

    async def _inspect(self, name: str) -> dict[str, Any] | None:
        try:
            return await self._engine.call(self._engine.client.inspect_image, name)
        except EngineError as error:
            if error.status != _NOT_FOUND:
                raise
            return None

    async def _build(self, tag: str, context: BuildContext, timeout_sec: float) -> None:
        if tag in self._failed:
            raise SandboxError(*self._failed[tag])
        log = self._cache / "builds" / f"{tag.rpartition(':')[2]}.log"
        with tempfile.TemporaryFile() as packed:
            await self._in_thread(context.write, packed)
            try:
                await buildkit.build(
                    self._engine, tag, packed, labels={MADE: "image"}, timeout_sec=timeout_sec, log=log
                )
            except RecipeError as error:
                hint = f"{error.hint} It is not built again as it is while this server lives."
                self._failed[tag] = error.problem, hint
                raise

    def _layer(self, folder: Path, target: PurePosixPath) -> Path:
        layer = archive.pack(folder, under=target.relative_to("/").as_posix())
        path = self._cache / "layers" / f"{hashlib.sha256(layer).hexdigest()}.tar"
        if path.exists():
            os.utime(path)  # `autoagent-mcp clean` goes by it
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, layer, is_durable=False)
        return path

    async def _in_thread(self, function: Callable[..., _T], *args: object) -> _T:
        return await anyio.to_thread.run_sync(function, *args, limiter=self._files)


class _Making:
    """An image that somebody makes, or looks for, and others wait for."""

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.facts: dict[str, Any] | None = None
        self.failure: SandboxError | None = None


def _tag(repository: str, digest: str) -> str:
    return f"{repository}:{digest[:_TAG_DIGITS]}"
