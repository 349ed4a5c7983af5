"""What a task asks to keep of its sandbox, and what of it a separate verifier gets."""

from __future__ import annotations

import fnmatch
import functools
import json
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import anyio

from autoagent_mcp.errors import SandboxRefused
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.task import CONVENTION, Artifact, Collect, Step
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Sandbox

LIMIT_BYTES = 64 * 1024 * 1024
"""Of one artifact."""
LIMIT_FILES = 10_000
_MANIFEST = "manifest.json"
_CARRY_SEC = 60
_QUOTE_CHARS = 200
_disk = anyio.CapacityLimiter(4)


class Kept(Frozen):
    """An entry of Harbor's artifacts/manifest.json."""

    source: str
    destination: str
    """`artifacts/<path>`, below the trial's folder."""
    type: Literal["file", "directory"]
    status: Literal["ok", "failed", "empty", "skipped"]
    service: str | None = None
    exclude: tuple[str, ...] = ()


async def collect(step: Step, sandbox: Sandbox, folder: Path) -> tuple[tuple[Kept, ...], tuple[str, ...]]:
    """Run the collect commands, copy the artifacts and /logs/artifacts to `folder`, and say what was not kept.

    As under Harbor this never fails a trial: what is missing is passed over; of what is hostile or over 64 MiB nothing
    comes out, links and special files never do. Of two that want the same place the first has it.

    Raises:
        SandboxError: The sandbox is gone.
        OSError: The folder cannot be written.
    """
    complaints = [said for hook in step.verifier.collect if (said := await _run(hook, sandbox))]
    collection = _Collection(sandbox, folder)
    for artifact in step.artifacts:
        await collection.add(artifact)
    if len(step.artifacts) > 1 or any(one.status == "ok" for one in collection.kept):
        await anyio.to_thread.run_sync(_write_manifest, folder, collection.kept, limiter=_disk)
    return tuple(collection.kept), (*complaints, *collection.complaints)


async def carry(kept: Sequence[Kept], folder: Path, sandbox: Sandbox) -> None:
    """Put what was kept into another sandbox, each at the path it came from; folders there hold nothing else then.

    Raises:
        SandboxError: The sandbox is gone, or what is carried does not fit.
        OSError: A file cannot be read.
    """
    carried = [one for one in kept if one.status == "ok"]
    if not carried:
        return
    folders = [shlex.quote(_place(one.source).as_posix()) for one in carried if one.type == "directory"]
    emptied = "".join(f"command -p rm -rf {path} 2> /dev/null\n" for path in folders)
    await sandbox.exec(emptied or "true", cwd="/", timeout_sec=_CARRY_SEC, user="root")
    await sandbox.put(await anyio.to_thread.run_sync(_pack, carried, folder, limiter=_disk), "/")


async def _run(hook: Collect, sandbox: Sandbox) -> str:
    """Run a collect command; return what a person should know of it."""
    try:
        result = await sandbox.exec(hook.command, timeout_sec=hook.timeout_sec, user=hook.user)
    except SandboxRefused as error:
        return f"The collect command {hook.command[:_QUOTE_CHARS]!r} could not be run. {error.problem}"
    if result.return_code == 0:
        return ""
    return f"The collect command {hook.command[:_QUOTE_CHARS]!r} ended with {result.return_code}."


class _Collection:
    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._sandbox = sandbox
        self._folder = folder
        self._taken = [PurePosixPath(_MANIFEST)]
        self.kept: list[Kept] = []
        self.complaints: list[str] = []

    async def add(self, artifact: Artifact) -> None:
        """Copy one artifact out."""
        place = PurePosixPath(artifact.destination or _place(artifact.source).relative_to("/"))
        entry = Kept(
            source=artifact.source,
            destination=(PurePosixPath("artifacts") / place).as_posix(),
            type="file" if PurePosixPath(artifact.source).suffix else "directory",
            status="skipped",
            service=artifact.service,
            exclude=artifact.exclude,
        )
        if not any(place == one or place in one.parents or one in place.parents for one in self._taken):
            self._taken.append(place)
            try:
                entry = entry.model_copy(update=await self._copy(artifact, self._folder / place))
            except SandboxRefused as error:
                self.complaints.append(f"The artifact {artifact.source} was not kept. {error.problem}")
                entry = entry.model_copy(update={"status": "failed"})
        self.kept.append(entry)

    async def _copy(self, artifact: Artifact, target: Path) -> dict[str, str]:
        """Return the status, and the type where it is known."""
        source = _place(artifact.source).as_posix()
        data = await self._sandbox.get(source, limit_bytes=LIMIT_BYTES)
        if data is None:
            return {"status": "empty" if source == CONVENTION else "failed"}
        file = archive.only_file(data)
        is_file = file == PurePosixPath(source).name and await self._sandbox.get(f"{source}/{file}") is None
        exclude = () if is_file else artifact.exclude
        unpack = functools.partial(_unpack, data, target, file if is_file else None, exclude)
        count, lost = await anyio.to_thread.run_sync(unpack, limiter=_disk)
        if lost:
            text = f"Of the artifact {artifact.source} {lost} links or special files were not kept."
            self.complaints.append(text)
        if is_file:
            return {"type": "file", "status": "ok"}
        return {"type": "directory", "status": "ok" if count or source != CONVENTION else "empty"}


def _place(source: str) -> PurePosixPath:
    return PurePosixPath("/", source)


def _unpack(data: bytes, target: Path, file: str | None, exclude: Sequence[str]) -> tuple[int, int]:
    """Unpack a folder as `target`, or the one file as `target`; return how many entries came and how many did not."""
    incoming = target.with_name(f".{target.name}.incoming")
    try:
        found = archive.unpack_plain(
            data, incoming, limit_bytes=LIMIT_BYTES, limit_files=LIMIT_FILES, leaves_out=_excluder(exclude)
        )
        if found == (0, 0):
            return found
        (incoming if file is None else incoming / file).replace(target)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return found


def _excluder(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Match as GNU tar's --exclude, which Harbor uses: any part of a path, `*` also across slashes."""
    wanted = [pattern.removeprefix("./").rstrip("/") for pattern in patterns]

    def is_out(path: str) -> bool:
        parts = path.split("/")
        spans = ["/".join(parts[a:b]) for a in range(len(parts)) for b in range(a + 1, len(parts) + 1)]
        return any(fnmatch.fnmatchcase(span, pattern) for pattern in wanted for span in spans)

    return is_out


def _write_manifest(folder: Path, kept: Sequence[Kept]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    entries = [one.model_dump(mode="json") for one in kept]
    (folder / _MANIFEST).write_text(json.dumps(entries, indent=2), encoding="utf-8")


def _pack(carried: Sequence[Kept], folder: Path) -> bytes:
    packer = archive.Packer()
    for one in carried:
        place = _place(one.source).relative_to("/").as_posix()
        host = folder.parent / one.destination
        if one.type == "file":
            packer.add_file(place, host.read_bytes(), 0o755 if host.stat().st_mode & 0o100 else 0o644)
        else:
            packer.add_folder(place, 0o777)
            packer.add_tree(host, place)
    return packer.data()
