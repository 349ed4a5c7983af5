"""The Docker backend: a container for each sandbox, on one engine, near or far."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.errors import EngineError, SandboxError, SandboxRefused, SetupError
from autoagent_mcp.models.task import ImageSource, Task
from autoagent_mcp.sandbox import unsupported
from autoagent_mcp.sandbox.base import PATIENCE_SEC, Image, Mount, Sandbox, SandboxSpec
from autoagent_mcp.sandbox.docker import container, harness_image, labels, leftovers, task_fit
from autoagent_mcp.sandbox.docker.engine import Engine
from autoagent_mcp.sandbox.docker.images import Images
from autoagent_mcp.sandbox.docker.leftovers import Leftover
from autoagent_mcp.sandbox.docker.owners import Owner
from autoagent_mcp.sandbox.docker.sandbox import DockerSandbox
from autoagent_mcp.sandbox.docker.watch import Watch

_log = logging.getLogger(__name__)
_PATIENCE_SEC = 300.0
"""For an engine that went away to come back."""
_PAUSE_SEC = 0.5


class DockerBackend:
    """Implements `base.Backend`; made by `open_backend`.

    Args:
        engine: Where containers run.
        group: Where the line that watches the engine lives.
        workspace_id: Whose sandboxes these are.
        cache: Where build logs and archives are kept.
        owner: This process, as their maker.
        harness_base: The image that harness sandboxes are made from; it has a Python.
    """

    name = "docker"

    def __init__(
        self, engine: Engine, group: TaskGroup, *, workspace_id: str, cache: Path, owner: Owner, harness_base: str
    ) -> None:
        self._engine = engine
        self._group = group
        self._workspace_id = workspace_id
        self._owner = owner
        self._harness_base = harness_base
        self._images = Images(engine, cache)
        self._watch: Watch | None = None
        self._users = 0
        self._left: set[str] = set()
        """Containers that are still to be removed."""
        self._sharing, self._networking = anyio.Lock(), anyio.Lock()

    def refusals(self, task: Task) -> tuple[str, ...]:
        """See `base.Backend.refusals`."""
        return unsupported.refusals(task)

    def notices(self, task: Task) -> tuple[str, ...]:
        """See `base.Backend.notices`."""
        return task_fit.notices(task)

    async def check(self, *, patience_sec: int = PATIENCE_SEC) -> None:
        """See `base.Backend.check`; the engine is asked alone, as an image to start might have to be pulled."""
        await self._engine.connect(patience_sec=patience_sec)
        try:
            await self._engine.call(self._engine.client.ping)
        except EngineError as error:
            raise SetupError(error.problem, error.hint) from error

    async def ready_again(self) -> None:
        """See `base.Backend.ready_again`."""
        with anyio.move_on_after(_PATIENCE_SEC):
            while True:
                try:
                    await self._engine.call(self._engine.client.ping)
                    await self._remove_left()
                except EngineError:
                    await anyio.sleep(_PAUSE_SEC)
                else:
                    return

    async def prepare(self, task: Task, source: ImageSource | None = None) -> Image:
        """See `base.Backend.prepare`."""
        if refusals := self.refusals(task):
            raise SandboxRefused(
                f"Task {task.name} cannot run on Docker: {'; '.join(refusals)}.", "Take these settings out of it."
            )
        await self._engine.connect()
        return await self._images.of_task(task, source or task.image_source)

    async def prepare_harness(
        self, requirements: str, inside: Image | None = None
    ) -> tuple[Image, tuple[Mount, ...], str]:
        """See `base.Backend.prepare_harness`."""
        await self._engine.connect()
        image = await harness_image.prepare(self._images, self._harness_base, requirements, inside)
        return image, (), harness_image.PYTHON

    async def remove_leftovers(self, workspace_id: str) -> int:
        """See `base.Backend.remove_leftovers`; what cannot be found or removed now is left to the next start."""
        try:
            await self._engine.connect()
            found = await self._engine.call(leftovers.find, self._engine.client, self._owner, workspace_id)
        except (SetupError, EngineError) as error:
            _log.info("Leftover sandboxes were not looked for: %s", error)
            return 0
        return [await self._has_removed(leftover) for leftover in found].count(True)

    async def _has_removed(self, leftover: Leftover) -> bool:
        try:
            await self._engine.call(leftovers.remove, self._engine.client, leftover)
        except EngineError as error:
            _log.warning("A killed server's %s %s was not removed: %s", leftover.kind, leftover.id[:12], error)
            return False
        return True

    # What sandboxes share

    @asynccontextmanager
    async def in_use(self) -> AsyncGenerator[None]:
        """See `base.Backend.in_use`: a line that tells when the engine goes away, and a network once one is wanted."""
        async with self._watched():
            yield

    async def _hold(self) -> Watch:
        async with self._sharing:
            if self._watch is None:
                await self._engine.connect()
                watch = Watch(self._engine, self._owner.label)
                await self._group.start(watch.run)
                self._watch = watch
            self._users += 1
            return self._watch

    async def _release(self) -> None:
        async with self._sharing:
            self._users -= 1
            if self._users == 0 and self._watch is not None:
                watch, self._watch = self._watch, None
                watch.stop()
                try:
                    await self._remove_left()
                    await self._remove_network(watch)
                except EngineError as error:
                    _log.warning("Something is left behind in the engine until the next start: %s", error)

    async def _network(self, watch: Watch) -> str:
        """Return the network that all sandboxes share, which keeps them apart; the first one makes it.

        One for all, as an engine has addresses for about 30 (moby issue 29239).
        """
        async with self._networking:
            if watch.network is None:
                made = await self._engine.call(
                    self._engine.client.create_network,
                    f"autoagent-mcp-{self._owner.label}",
                    options={"com.docker.network.bridge.enable_icc": "false"},
                    labels={
                        labels.MADE: "network",
                        labels.WORKSPACE: self._workspace_id,
                        labels.OWNER: self._owner.label,
                    },
                )
                watch.network = str(made["Id"])
        return watch.network

    async def _remove_network(self, watch: Watch) -> None:
        if watch.network is not None:
            await self._engine.call(leftovers.remove_network, self._engine.client, watch.network)

    async def _remove_left(self) -> None:
        """Remove what could not be removed when its sandbox ended, as the engine was away."""
        for made in tuple(self._left):
            await self._engine.call(leftovers.remove_container, self._engine.client, made)
            self._left.discard(made)

    # A sandbox

    @asynccontextmanager
    async def start(self, spec: SandboxSpec) -> AsyncGenerator[Sandbox]:
        """See `base.Backend.start`."""
        async with self._watched() as watch, background_tasks() as group:
            made = await self._create(spec, watch)
            sandbox = DockerSandbox(spec, made, self._engine, watch, group)
            group.start_soon(sandbox.cut_untold)
            try:
                await self._first_steps(spec, made, sandbox)
                yield sandbox
            finally:
                sandbox.close()
                with anyio.CancelScope(shield=True):
                    await self._remove(spec, made)

    @asynccontextmanager
    async def _watched(self) -> AsyncGenerator[Watch]:
        watch = await self._hold()
        try:
            yield watch
        finally:
            with anyio.CancelScope(shield=True):
                await self._release()

    async def _create(self, spec: SandboxSpec, watch: Watch) -> str:
        network = await self._network(watch) if spec.can_use_network or spec.network == "public" else None
        options = container.options(spec, workspace_id=self._workspace_id, owner=self._owner.label, network=network)
        try:
            made = await self._engine.call(self._engine.client.create_container, **options)
        except EngineError as error:
            raise SandboxError(f"Sandbox {spec.name} could not be made: {error.problem}", error.hint) from error
        return str(made["Id"])

    async def _first_steps(self, spec: SandboxSpec, made: str, sandbox: DockerSandbox) -> None:
        try:
            await self._engine.call(self._engine.client.start, made)
            if spec.can_use_network and spec.network == "none":
                await sandbox.use_network("none")
        except EngineError as error:
            raise SandboxError(f"Sandbox {spec.name} could not be started: {error.problem}", error.hint) from error
        for layer in spec.image.layers:
            await sandbox.put(await anyio.Path(layer).read_bytes(), "/")

    async def _remove(self, spec: SandboxSpec, made: str) -> None:
        try:
            await self._engine.call(leftovers.remove_container, self._engine.client, made)
        except EngineError as error:
            _log.warning("Sandbox %s is removed later: %s", spec.name, error)
            self._left.add(made)


@asynccontextmanager
async def open_backend(
    workspace_id: str, *, cache: Path, state: Path, harness_base: str
) -> AsyncGenerator[DockerBackend]:
    """Make the backend, which connects to its engine when it first needs it, for as long as the context lasts.

    Args:
        workspace_id: Whose sandboxes these are.
        cache: Where build logs and archives are kept.
        state: The user's state folder.
        harness_base: The image that harness sandboxes are made from; it has a Python.

    Raises:
        OSError: The user's state folder cannot be written.
    """
    engine = Engine()
    try:
        owner = Owner(state)
        try:
            async with background_tasks() as group:
                yield DockerBackend(
                    engine, group, workspace_id=workspace_id, cache=cache, owner=owner, harness_base=harness_base
                )
        finally:
            owner.give_up()
    finally:
        with anyio.CancelScope(shield=True):
            await engine.aclose()
