"""`autoagent-mcp clean` removes what this tool made, once it is old, and nothing else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import docker
import pytest
from support.registry import open_registry
from support.workspaces import write_tree

from autoagent_mcp.sandbox.docker.build_context import BuildContext
from autoagent_mcp.sandbox.docker.buildkit import build
from autoagent_mcp.sandbox.docker.engine import Engine

AGE = "9000d"
"""Older than any image that this engine really has, and younger than those that a test makes."""
pytestmark = pytest.mark.usefixtures("images_alone")
Client = Any
"""docker.APIClient, whose published types leave most of its methods unknown."""


def clean(cache: Path, *words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "autoagent_mcp", "clean", *words],
        env={**os.environ, "XDG_CACHE_HOME": str(cache), **environment},
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    return done.stdout


class Shelf:
    """Images of a test, all of which are removed after it."""

    def __init__(self, client: Client, old_base: str, log: Path) -> None:
        self.client = client
        self.nonce = uuid.uuid4().hex
        self._old_base, self._log = old_base, log
        self._made: list[str] = []

    async def add(self, repository: str, name: str, *, label: str | None = "image", is_old: bool = True) -> str:
        """Build an image; an old one says that it is from 1990, as its base."""
        tag = f"{repository}:{self.nonce}-{name}"
        self._made.append(tag)
        recipe = f"FROM {self._old_base}\nENV NAME={name}\n" + ("" if is_old else f"COPY {self.nonce} /x\n")
        engine = Engine()
        await engine.connect()
        with io.BytesIO() as packed:
            BuildContext({"Dockerfile": recipe.encode(), self.nonce: self.nonce.encode()}).write(packed)
            labels = {"autoagent-mcp": label} if label else {}
            await build(engine, tag, packed, labels=labels, timeout_sec=30, log=self._log)
        await engine.aclose()
        return tag

    def tagged(self, image: str, tag: str) -> str:
        """Give an image another tag."""
        self.client.tag(image, *tag.split(":"))
        self._made.append(tag)
        return tag

    def has(self, *tags: str) -> list[bool]:
        """Tell of each tag whether the engine has it."""
        known = {tag for image in self.client.images() for tag in image["RepoTags"] or ()}
        return [tag in known for tag in tags]

    def clear(self) -> None:
        """Remove what is left."""
        for tag in self._made:
            if self.has(tag)[0]:
                self.client.remove_image(tag, force=True)


@pytest.fixture
def shelf(tmp_path: Path) -> Generator[Shelf]:
    client: Client = docker.APIClient(version="auto")
    with open_registry() as registry:
        shelf = Shelf(client, registry.image, tmp_path / "build.log")
        try:
            yield shelf
        finally:
            shelf.clear()
            if shelf.has(registry.image)[0]:
                client.remove_image(registry.image)
            client.close()


@pytest.mark.docker
async def test_only_old_images_of_ours_go(shelf: Shelf, tmp_path: Path) -> None:
    ours = [await shelf.add("autoagent-mcp/task", "old"), await shelf.add("autoagent-mcp/harness", "old")]
    others = [
        await shelf.add("autoagent-mcp/task", "young", is_old=False),
        await shelf.add("autoagent-mcp/task", "without-label", label=None),
        await shelf.add("autoagent-mcp/task", "other-label", label="sandbox"),
        await shelf.add("somebody/built-upon-ours", "old"),
        await shelf.add("autoagent-mcp-too/task", "old"),
    ]
    said = clean(tmp_path, "--older-than", AGE, "--dry-run")
    assert all(tag in said for tag in ours)
    assert not any(tag in said for tag in others)
    assert shelf.has(*ours, *others) == [True] * 7
    assert "would be removed" in said
    said = clean(tmp_path, "--older-than", AGE)
    assert all(tag in said for tag in ours)
    assert shelf.has(*ours, *others) == [False] * 2 + [True] * 5
    assert not any(tag in clean(tmp_path, "--older-than", AGE) for tag in ours)


@pytest.mark.docker
async def test_an_image_that_a_container_uses_stays_until_the_container_is_gone(shelf: Shelf, tmp_path: Path) -> None:
    used = await shelf.add("autoagent-mcp/task", "used")
    container = shelf.client.create_container(used, ["sleep"])["Id"]
    try:
        assert used not in clean(tmp_path, "--older-than", AGE, "--dry-run")
        assert used not in clean(tmp_path, "--older-than", AGE)
    finally:
        shelf.client.remove_container(container)
    assert shelf.has(used) == [True]
    assert used in clean(tmp_path, "--older-than", AGE)
    assert shelf.has(used) == [False]


@pytest.mark.docker
async def test_a_tag_that_somebody_gave_to_an_image_of_ours_stays(shelf: Shelf, tmp_path: Path) -> None:
    ours = await shelf.add("autoagent-mcp/task", "old")
    theirs = shelf.tagged(ours, f"somebody/kept:{shelf.nonce}")
    clean(tmp_path, "--older-than", AGE)
    assert shelf.has(ours, theirs) == [False, True]


def test_what_the_cache_has_not_used_for_long_goes_without_an_engine_too(tmp_path: Path) -> None:
    cache = tmp_path / "autoagent-mcp"
    old = ["builds/a.log", "layers/a.tar", "images/a.tar", "harness/a/lib/x.py", "harness/a.lock"]
    kept = ["builds/b.log", "harness/b/lib/x.py", "models/a.gguf", "x"]
    write_tree(cache, dict.fromkeys((*old, *kept), "x" * 1000))
    for name in (*old, "harness/a", "models/a.gguf", "x"):
        os.utime(cache / name, (1, 1))
    nowhere = f"unix://{tmp_path}/none.sock"
    said = clean(tmp_path, "--older-than", "1d", "--dry-run", DOCKER_HOST=nowhere)
    assert "No Docker engine answers" in said
    assert "0 images and 5 cached files would be removed" in said
    assert all((cache / name).exists() for name in (*old, *kept))
    clean(tmp_path, "--older-than", "1d", DOCKER_HOST=nowhere)
    assert [(cache / name).exists() for name in (*old, *kept)] == [False] * 5 + [True] * 4
