"""`autoagent-mcp clean`: removes what can be made again and has not been used for a while, and nothing else."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import anyio.to_thread
from rich.console import Console
from rich.table import Table

from autoagent_mcp.errors import SetupError
from autoagent_mcp.sandbox.bubblewrap import shown
from autoagent_mcp.sandbox.docker import leftovers
from autoagent_mcp.sandbox.docker.engine import Client, Engine
from autoagent_mcp.sandbox.docker.leftovers import Leftover
from autoagent_mcp.sandbox.docker.old_images import BuiltImage, remove_old
from autoagent_mcp.sandbox.docker.owners import Owner
from autoagent_mcp.workspace import user_cache, user_state

_CACHES = ("builds", "layers", "images", "harness")
"""Build logs, files laid over images, bubblewrap's images and harness environments."""
_BYTES_PER_MB = 1_000_000


async def clean(older_than: timedelta, *, is_rehearsal: bool) -> None:
    """Remove our images and leftovers of killed servers from the engine, and entries of the user's cache; print them.

    Args:
        older_than: Since an image, a sandbox or a network was created; since a file of the cache was made or used.
        is_rehearsal: Only tell what would be removed.

    Raises:
        EngineError: The engine went away.
        OSError: Something in the cache cannot be removed.
    """
    before = time.time() - older_than.total_seconds()
    console = Console()
    left, images = await _clean_engine(console, before, is_rehearsal=is_rehearsal)
    files = await anyio.to_thread.run_sync(_remove_files, user_cache(), before, is_rehearsal)
    _show(console, left, images, files, is_rehearsal=is_rehearsal)


async def _clean_engine(
    console: Console, before: float, *, is_rehearsal: bool
) -> tuple[tuple[Leftover, ...], tuple[BuiltImage, ...]]:
    engine = Engine()
    try:
        await engine.connect()
    except SetupError as error:
        console.print(f"{error.problem} Only the cache is looked at.", markup=False, soft_wrap=True)
        return (), ()
    try:
        left = await engine.stream(_remove_left, engine.client, before, is_rehearsal=is_rehearsal)
        return left, await engine.stream(remove_old, engine.client, before, is_rehearsal=is_rehearsal)
    finally:
        await engine.aclose()


def _remove_left(client: Client, before: float, *, is_rehearsal: bool) -> tuple[Leftover, ...]:
    """Remove what killed servers left, whatever their workspace; a server's next start does it for its own."""
    owner = Owner(user_state())
    try:
        found = tuple(one for one in leftovers.find(client, owner) if one.created < before)
        for leftover in () if is_rehearsal else found:
            leftovers.remove(client, leftover)
        return found
    finally:
        owner.give_up()


def _remove_files(cache: Path, before: float, is_rehearsal: bool) -> dict[Path, int]:  # noqa: FBT001 - run in a thread
    removed: dict[Path, int] = {}
    for path in _old(cache, before):
        with shown.claimed(path) if path.is_dir() else nullcontext(enter_result=True) as is_unused:
            if is_unused:
                removed[path] = _size(path)
                if not is_rehearsal:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return removed


def _old(cache: Path, before: float) -> Iterator[Path]:
    for folder in (cache / name for name in _CACHES):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.lstat().st_mtime < before:
                yield path


def _size(path: Path) -> int:
    found = [path, *(path.rglob("*") if path.is_dir() else ())]
    return sum(one.lstat().st_size for one in found if not one.is_dir())


def _show(
    console: Console,
    left: tuple[Leftover, ...],
    images: tuple[BuiltImage, ...],
    files: dict[Path, int],
    *,
    is_rehearsal: bool,
) -> None:
    for one in left:
        console.print(f"{'would remove' if is_rehearsal else 'removed'} a {one.kind} of a killed server: {one.id[:12]}")
    table = Table("would be removed" if is_rehearsal else "removed", "MB")
    sizes = {**{image.tag: image.size_bytes for image in images}, **{str(path): size for path, size in files.items()}}
    for name, size in sizes.items():
        table.add_row(name, f"{size / _BYTES_PER_MB:.1f}")
    if sizes:
        console.print(table)
    total_mb = sum(sizes.values()) / _BYTES_PER_MB
    count = f"{len(images)} images and {len(files)} cached files {'would be ' if is_rehearsal else ''}removed"
    console.print(f"{count}: {total_mb:.1f} MB, less what images share with others.", soft_wrap=True)
