"""A task's image on the host's own system: its Dockerfile's files as one layer, kept by content."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from autoagent_mcp._io import write_whole
from autoagent_mcp.errors import SandboxError
from autoagent_mcp.models.task import ENVIRONMENT, ImageSource, Task
from autoagent_mcp.sandbox.base import Image
from autoagent_mcp.sandbox.bubblewrap import dockerfile
from autoagent_mcp.sandbox.bubblewrap.dockerfile import Copy, Recipe

_HINT = "Correct the Dockerfile or the folder that it is in."
_IGNORED = ".dockerignore"


def recipe(task: Task, source: ImageSource) -> Recipe:
    """Return what an image of the task asks for; nothing where there is neither Dockerfile nor `docker_image`."""
    context = task.folder / source.folder
    image = source.environment.docker_image
    refusals = (f"{source.folder}/{_IGNORED} needs Docker",) if (context / _IGNORED).exists() else ()
    if source.folder != ENVIRONMENT and image is not None:
        return Recipe(refusals=(*refusals, f"the verifier's docker_image {image!r} brings its tests and needs Docker"))
    if (context / "Dockerfile").is_file():
        found = _read(context / "Dockerfile")
        return found.model_copy(update={"refusals": refusals + found.refusals})
    if image is None:
        return Recipe(refusals=refusals)
    workdir = source.environment.workdir or "/"
    loose = Copy(line=0, sources=(".",), target=workdir.rstrip("/") + "/")
    has_files = context.is_dir() and any(context.iterdir())
    return Recipe(base=image, workdir=PurePosixPath(workdir), copies=(loose,) if has_files else (), refusals=refusals)


def _read(path: Path) -> Recipe:
    try:
        return dockerfile.read(path)
    except (OSError, UnicodeDecodeError) as error:
        return Recipe(refusals=(f"{path.parent.name}/Dockerfile cannot be read: {error}",))


def build(task: Task, source: ImageSource, cache: Path) -> Image:
    """Make an image of the task.

    Raises:
        SandboxError: A file that is to be copied is missing, or lies outside of the folder with the Dockerfile.
        OSError: A file cannot be read, or the cache not be written.
    """
    wanted = recipe(task, source)
    layer = _layer(task, source, wanted)
    facts = json.dumps([wanted.base, str(wanted.workdir), sorted(wanted.env.items())])
    digest = hashlib.sha256(facts.encode() + b"\0" + layer).hexdigest()
    path = cache / "images" / f"{digest}.tar"
    if path.exists():
        os.utime(path)  # `autoagent-mcp clean` goes by it
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, layer)
    return Image(id=digest, base=wanted.base, workdir=wanted.workdir, env=wanted.env, layers=(path,))


def mark_used(image: Image) -> bool:
    """Note that an image is used, which `autoagent-mcp clean` goes by; tell whether it is still there.

    Raises:
        OSError: The cache cannot be written.
    """
    try:
        for layer in image.layers:
            os.utime(layer)
    except FileNotFoundError:
        return False
    return True


def _layer(task: Task, source: ImageSource, wanted: Recipe) -> bytes:
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as layer:
            for folder in wanted.folders:
                _add_folder(layer, folder)
            for copy in wanted.copies:
                _Copying(task, source, layer, copy).run()
        return buffer.getvalue()


def _add_folder(layer: tarfile.TarFile, folder: str) -> None:
    member = tarfile.TarInfo(folder.strip("/") or ".")
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    layer.addfile(member)


class _Copying:
    """One COPY or ADD."""

    def __init__(self, task: Task, source: ImageSource, layer: tarfile.TarFile, copy: Copy) -> None:
        self._context = (task.folder / source.folder).resolve()
        self._place = f"task {task.name}: {source.folder}/Dockerfile line {copy.line}"
        self._layer = layer
        self._copy = copy

    def run(self) -> None:
        """Add the files to the layer."""
        for pattern in self._copy.sources:
            found = list(self._sources(pattern))
            if not found:
                raise SandboxError(f"{self._place} copies {pattern!r}, which does not exist.", _HINT)
            for source in found:
                self._add_source(source, as_folder=self._copy.target.endswith("/") or len(found) > 1)

    def _sources(self, pattern: str) -> Iterator[Path]:
        plain = pattern.strip("/")
        plain = plain.removeprefix("./") if plain != "." else ""
        for path in sorted(self._context.glob(plain)) if plain else [self._context]:
            if not path.resolve().is_relative_to(self._context):
                raise SandboxError(f"{self._place} copies {path.name!r}, which leads out of its folder.", _HINT)
            yield path

    def _add_source(self, source: Path, *, as_folder: bool) -> None:
        target = self._copy.target.strip("/")
        if source.is_dir():
            self._add_tree(source, target)
        elif self._copy.unpacks and tarfile.is_tarfile(source):
            self._unpack(source, target)
        else:
            self._add(source.resolve(), f"{target}/{source.name}" if as_folder else target)

    def _add_tree(self, source: Path, target: str) -> None:
        _add_folder(self._layer, target)
        for path in sorted(source.rglob("*")):
            if path != self._context / "Dockerfile" or self._copy.line:
                self._add(path, f"{target}/{path.relative_to(source).as_posix()}")

    def _unpack(self, source: Path, target: str) -> None:
        with tarfile.open(source) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                self._write(member, f"{target}/{member.name}", content)

    def _add(self, path: Path, name: str) -> None:
        member = self._layer.gettarinfo(str(path), name)
        if member.islnk():  # another name of a file met before
            member.type, member.size, member.linkname = tarfile.REGTYPE, path.stat().st_size, ""
        if member.isreg():
            with path.open("rb") as file:
                self._write(member, name, file)
        elif member.isdir() or member.issym():
            self._write(member, name, None)

    def _write(self, member: tarfile.TarInfo, name: str, content: object) -> None:
        member.name = name.lstrip("/")
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        if self._copy.mode is not None and not member.issym():
            member.mode = self._copy.mode
        self._layer.addfile(member, content)  # pyright: ignore[reportArgumentType]
