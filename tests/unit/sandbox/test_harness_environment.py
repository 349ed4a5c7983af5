"""The harness's libraries."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import anyio
import pytest

from autoagent_mcp.errors import HarnessError
from autoagent_mcp.sandbox.base import SandboxSpec
from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder of wheels the user's only index, by uv's own variables."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return folder


def add_wheel(index: Path, name: str, code: str, version: str = "1.0") -> None:
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in files.items())
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, content in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            wheel.writestr(path, content)


def _digest(content: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()


async def run(backend: BubblewrapBackend, requirements: str, code: str) -> str:
    image, mounts, python = await backend.prepare_harness(requirements)
    spec = SandboxSpec(name="harness", image=image, mounts=mounts, role="harness")
    async with backend.start(spec) as sandbox:
        result = await sandbox.exec(f'{python} -c "{code}"')
    assert result.return_code == 0, result.stderr
    return result.stdout


async def test_libraries_are_importable_inside(backend: BubblewrapBackend, index: Path) -> None:
    add_wheel(index, "helper", "ANSWER = 42")
    requirements = "# what the harness needs\n\nhelper==1.0  # pinned\n"
    assert await run(backend, requirements, "import helper; print(helper.ANSWER)") == "42\n"


async def test_without_libraries_there_is_plain_python(backend: BubblewrapBackend) -> None:
    assert await run(backend, "", "import asyncio, ssl; print('plain')") == "plain\n"


async def test_libraries_are_installed_once(backend: BubblewrapBackend, index: Path) -> None:
    add_wheel(index, "helper", "")
    first = await backend.prepare_harness("helper")
    for wheel in index.iterdir():
        wheel.unlink()
    assert await backend.prepare_harness("helper\n") == first


async def test_two_that_ask_at_once_get_the_same(backend: BubblewrapBackend, index: Path, tmp_path: Path) -> None:
    add_wheel(index, "helper", "")
    others = [BubblewrapBackend("0123456789ab", tmp_path / "cache") for _ in range(3)]
    images: list[str] = []

    async def prepare(each: BubblewrapBackend) -> None:
        images.append((await each.prepare_harness("helper"))[0].id)

    async with anyio.create_task_group() as group:
        for each in (backend, *others):
            group.start_soon(prepare, each)
    assert len(images) == 4
    assert len(set(images)) == 1


async def test_other_libraries_make_another_environment(backend: BubblewrapBackend, index: Path) -> None:
    add_wheel(index, "helper", "")
    add_wheel(index, "other", "")
    assert (await backend.prepare_harness("helper"))[0].id != (await backend.prepare_harness("other"))[0].id


@pytest.mark.parametrize(
    "line",
    [
        "./local",
        "/etc",
        "helper @ file:///etc",
        "helper @ https://example.com/helper.whl",
        "https://example.com/helper.whl",
        "git+https://example.com/helper.git",
        "-e .",
        "-r other.txt",
        "--index-url https://example.com/simple",
        "--no-binary :all:",
        "--find-links /tmp",
        "helper --config-settings=x=y",
        "-c constraints.txt",
        "helper; python_version",
        "helper.whl\\",
        "${HOME}/x",
    ],
)
async def test_what_is_no_name_with_versions_is_refused_with_its_line(backend: BubblewrapBackend, line: str) -> None:
    with pytest.raises(HarnessError, match=r"requirements\.txt line 2"):
        await backend.prepare_harness(f"helper\n{line}\n")


async def test_a_library_that_does_not_exist_is_told_and_leaves_nothing(
    backend: BubblewrapBackend, index: Path, tmp_path: Path
) -> None:
    with pytest.raises(HarnessError, match="nosuch"):
        await backend.prepare_harness("nosuch")
    assert [path for path in (tmp_path / "cache" / "harness").iterdir() if path.is_dir()] == []
    add_wheel(index, "nosuch", "")
    await backend.prepare_harness("nosuch")


async def test_a_source_distribution_is_not_built(backend: BubblewrapBackend, index: Path, tmp_path: Path) -> None:
    """It brings its own build backend, which would need nothing else to run."""
    files = {
        "evil-1.0/PKG-INFO": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
        "evil-1.0/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n',
        "evil-1.0/own.py": f"open({str(tmp_path / 'ran')!r}, 'w')",
    }
    with tarfile.open(index / "evil-1.0.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    with pytest.raises(HarnessError, match="evil"):
        await backend.prepare_harness("evil")
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's sandboxes have another uid")
async def test_libraries_are_readable_whatever_the_servers_umask(backend: BubblewrapBackend, index: Path) -> None:
    add_wheel(index, "helper", "ANSWER = 42")
    before = os.umask(0o077)
    try:
        assert await run(backend, "helper", "import helper; print(helper.ANSWER)") == "42\n"
    finally:
        os.umask(before)
