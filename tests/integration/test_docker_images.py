"""Tasks' images on a real engine: built once, never half, and nothing of them left."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath
from typing import Any

import anyio
import anyio.to_thread
import docker
import pytest
from docker.errors import NotFound
from support.processes import until
from support.registry import Registry, open_registry
from support.workspaces import write_tree

from autoagent_mcp import task as task_files
from autoagent_mcp.errors import SandboxError
from autoagent_mcp.models.task import EnvironmentConfig, ImageSource, Task
from autoagent_mcp.sandbox.base import Backend, SandboxSpec
from autoagent_mcp.sandbox.docker.backend import DockerBackend, open_backend

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("images_alone")]  # some look at all that the engine has

BASE = "debian:bookworm-slim"
MARK = f"autoagent-mcp.test={uuid.uuid4().hex}"
"""On all images that these tests make."""
Client = Any
"""docker.APIClient, whose published types leave most of its methods unknown."""


@pytest.fixture
def client() -> Generator[Client]:
    """A line to the engine; the images that a test makes are removed after it."""
    client: Client = docker.APIClient(version="auto")
    yield client
    for image in client.images(filters={"label": MARK}):
        client.remove_image(image["Id"], force=True)
    client.close()


def tags(client: Client) -> set[str]:
    return {tag for image in client.images() for tag in image["RepoTags"] or ()}


def untagged(client: Client) -> set[str]:
    return {image["Id"] for image in client.images(all=True) if not any(":" in tag for tag in image["RepoTags"] or ())}


@pytest.fixture
def registry(client: Client) -> Generator[Registry]:
    with open_registry() as opened:
        yield opened
    if opened.image in tags(client):
        client.remove_image(opened.image)


def server(folder: Path) -> AbstractAsyncContextManager[DockerBackend]:
    """What a server of its own would use; the cache is the user's, and so the same."""
    return open_backend("0123456789ab", cache=folder / "cache", state=folder / "state", harness_base=BASE)


@pytest.fixture
async def backend(tmp_path: Path, client: Client) -> AsyncGenerator[Backend]:
    del client
    async with server(tmp_path) as opened:
        yield opened


def make_task(folder: Path, dockerfile: str | None, *, config: str = "", files: dict[str, str] | None = None) -> Task:
    recipe = {"environment/Dockerfile": f"{dockerfile}\nLABEL {MARK}\n"} if dockerfile is not None else {}
    fixed = {"task.toml": config, "instruction.md": "Do it.", "tests/test.sh": "", "environment/.keep": ""}
    write_tree(folder, {**fixed, **recipe, **(files or {})})
    return task_files.load(folder)


async def look(backend: Backend, task: Task, command: str) -> str:
    """Return what a command prints in the task's sandbox."""
    spec = SandboxSpec(name="look", image=await backend.prepare(task))
    async with backend.start(spec) as sandbox:
        result = await sandbox.exec(command)
    assert result.return_code == 0, result.stderr
    return result.stdout


def builds(client: Client, tag: str, since: float) -> int:
    """Count how often the engine has given a tag."""
    wanted = {"type": "image", "event": "tag", "image": tag}
    now = int(time.time()) + 1
    return len(list(client.events(since=int(since), until=now, filters=wanted, decode=True)))


async def test_an_image_has_what_its_dockerfile_says_and_is_labelled_as_ours(
    backend: Backend, client: Client, tmp_path: Path
) -> None:
    dockerfile = f"FROM {BASE}\nENV A=1 B='two words'\nWORKDIR /app\nCOPY . .\nENTRYPOINT [\"/bin/sh\"]\n"
    task = make_task(tmp_path / "task", dockerfile, files={"environment/data/x": "x"})
    image = await backend.prepare(task)
    assert image.id.startswith("autoagent-mcp/task:")
    assert (image.workdir, image.env["A"], image.env["B"]) == (PurePosixPath("/app"), "1", "two words")
    assert image.has_startup
    assert client.inspect_image(image.id)["Config"]["Labels"]["autoagent-mcp"] == "image"


async def test_buildkits_own_syntax_is_understood(backend: Backend, tmp_path: Path) -> None:
    mount = f"--mount=type=cache,id={uuid.uuid4().hex},target=/kept"
    dockerfile = f"FROM {BASE}\nRUN {mount} echo once > /kept/x\nRUN {mount} cp /kept/x /x\n"
    assert await look(backend, make_task(tmp_path / "task", dockerfile), "cat /x; ls -A /kept") == "once\n"


async def test_here_documents_are_understood(backend: Backend, client: Client, tmp_path: Path) -> None:
    if int(client.version()["Version"].partition(".")[0]) < 23:
        pytest.skip("this engine's own BuildKit is older than here-documents (engine 23)")
    dockerfile = f"FROM {BASE}\nRUN <<END\necho one > /x\necho two >> /x\nEND\n"
    assert await look(backend, make_task(tmp_path / "task", dockerfile), "cat /x") == "one\ntwo\n"


async def test_what_dockerignore_names_is_neither_in_the_image_nor_makes_it_another(
    backend: Backend, tmp_path: Path
) -> None:
    files = {"environment/.dockerignore": "*.log\nsecret/\n", "environment/a": "a", "environment/secret/b": "b"}
    dockerfile = f"FROM {BASE}\nCOPY . /app\n"
    task = make_task(tmp_path / "one" / "task", dockerfile, files=files)
    again = make_task(tmp_path / "two" / "task", dockerfile, files={**files, "environment/x.log": "x"})
    assert sorted((await look(backend, task, "ls -A /app")).split()) == [".dockerignore", ".keep", "Dockerfile", "a"]
    assert (await backend.prepare(task)).id == (await backend.prepare(again)).id


async def test_a_run_that_fails_shows_the_end_of_its_output_and_leaves_nothing_untagged(
    backend: Backend, client: Client, tmp_path: Path
) -> None:
    before = untagged(client)
    dockerfile = f"FROM {BASE}\nRUN touch {uuid.uuid4().hex}\nRUN (seq 100 130; echo the reason) >&2; exit 7\n"
    task = make_task(tmp_path / "task", dockerfile)
    with pytest.raises(
        SandboxError, match=r"(?s)Task task, environment/: .*exit code: 7.*\n130\nthe reason\n"
    ) as caught:
        await backend.prepare(task)
    assert "\n100\n" not in str(caught.value)
    (log,) = (tmp_path / "cache" / "builds").iterdir()
    assert str(log) in caught.value.hint
    assert "100\n101\n" in log.read_text(encoding="utf-8")
    assert untagged(client) == before


async def test_a_dockerfile_that_cannot_be_read_is_named_with_the_engines_words(
    backend: Backend, tmp_path: Path
) -> None:
    with pytest.raises(SandboxError, match=r"dockerfile parse error (on )?line 1: unknown instruction: NONSENSE"):
        await backend.prepare(make_task(tmp_path / "task", "NONSENSE\n"))


@pytest.mark.parametrize("ended_by", ["its time", "a cancellation"])
async def test_a_build_that_is_ended_does_not_go_on_in_the_engine(
    backend: Backend, client: Client, tmp_path: Path, ended_by: str
) -> None:
    before = untagged(client)
    mount = f"--mount=type=cache,id={uuid.uuid4().hex},target=/held,sharing=locked"
    config = f"[environment]\nbuild_timeout_sec = {4 if ended_by == 'its time' else 300}\n"
    endless = make_task(tmp_path / "endless", f"FROM {BASE}\nRUN {mount} echo begun; sleep 1000\n", config=config)
    builds = tmp_path / "cache" / "builds"
    if ended_by == "its time":
        with pytest.raises(SandboxError, match=r"it took longer than 4 s\. Its output ended so:[^$]*begun"):
            await backend.prepare(endless)
    else:
        async with anyio.create_task_group() as group:
            group.start_soon(backend.prepare, endless)
            await until(lambda: any("\nbegun" in log.read_text(encoding="utf-8") for log in builds.glob("*")))
            group.cancel_scope.cancel()
    # The mount is given to one step at a time: while the first goes on, the second waits.
    config = "[environment]\nbuild_timeout_sec = 20\n"
    await backend.prepare(make_task(tmp_path / "next", f"FROM {BASE}\nRUN {mount} true\n", config=config))
    assert untagged(client) == before


async def test_many_callers_wait_for_one_build_and_a_second_server_builds_nothing(
    client: Client, tmp_path: Path
) -> None:
    since = time.time()
    dockerfile = f"FROM {BASE}\nENV NONCE={uuid.uuid4().hex}\nRUN seq 3\n"
    tasks = [make_task(tmp_path / f"task{number}", dockerfile) for number in range(8)]
    found: set[str] = set()

    async def prepare(backend: Backend, task: Task) -> None:
        found.add((await backend.prepare(task)).id)

    async with server(tmp_path) as first, anyio.create_task_group() as group:
        for task in tasks:
            group.start_soon(prepare, first, task)
    (tag,) = found
    async with server(tmp_path / "second") as second:
        await prepare(second, tasks[0])
    assert builds(client, tag, since) == 1
    assert not (tmp_path / "second" / "cache" / "builds").exists()


async def test_callers_of_a_build_that_fails_all_fail_and_a_later_one_tries_again(
    backend: Backend, tmp_path: Path
) -> None:
    nonce = uuid.uuid4().hex
    mount = f"--mount=type=cache,id={nonce},target=/count"
    count = f"RUN {mount} n=$(ls /count | wc -l); touch /count/$n; echo connection lost; echo attempt $n; exit 1"
    task = make_task(tmp_path / "task", f"FROM {BASE}\nENV NONCE={nonce}\n{count}\n")
    said: list[str] = []

    async def prepare() -> None:
        with pytest.raises(SandboxError) as caught:
            await backend.prepare(task)
        said.append(str(caught.value))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(prepare)
    await prepare()
    assert [text.count("\nattempt 0\n") for text in said] == [1, 1, 1, 1, 0]
    assert "\nattempt 1\n" in said[-1]


async def test_a_caller_that_is_cancelled_does_not_take_the_others_build_with_it(
    backend: Backend, tmp_path: Path
) -> None:
    mount = f"--mount=type=cache,id={uuid.uuid4().hex},target=/kept"
    # The first attempt waits to be cancelled, the second does not.
    dockerfile = f"FROM {BASE}\nRUN {mount} test -e /kept/x || {{ touch /kept/x; echo begun; sleep 1000; }}\n"
    task = make_task(tmp_path / "task", dockerfile)
    builds = tmp_path / "cache" / "builds"
    found: list[str] = []

    async def prepare() -> None:
        found.append((await backend.prepare(task)).id)

    async with anyio.create_task_group() as waiting, anyio.create_task_group() as building:
        building.start_soon(prepare)
        await until(lambda: any("\nbegun" in log.read_text(encoding="utf-8") for log in builds.glob("*")))
        waiting.start_soon(prepare)
        building.cancel_scope.cancel()
    assert len(found) == 1


@pytest.mark.parametrize(
    "dockerfile",
    ["FROM {image}\nCOPY .keep /x\n", f"FROM {BASE}\nCOPY --from={{image}} /greeting /x\n"],
    ids=["FROM", "COPY --from"],
)
async def test_images_that_a_dockerfile_names_are_pulled_where_a_registry_wants_a_token(
    backend: Backend, client: Client, registry: Registry, tmp_path: Path, dockerfile: str
) -> None:
    image = await backend.prepare(make_task(tmp_path / "task", dockerfile.format(image=registry.image)))
    assert image.id in tags(client)


async def test_an_image_is_used_as_it_is_and_pulled_with_the_users_login_where_it_is_missing(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_registry("user:word") as registry:
        # Beside a Dockerfile that cannot be built, which does not count.
        named = f"[environment]\ndocker_image = '{registry.image}'\n"
        task = make_task(tmp_path / "task", "NONSENSE", config=named)
        async with server(tmp_path) as stranger:
            with pytest.raises(SandboxError, match=r"cannot be pulled: .*authentication required"):
                await stranger.prepare(task)
        login = {"auths": {registry.address: {"auth": "dXNlcjp3b3Jk"}}}
        write_tree(tmp_path / "login", {"config.json": json.dumps(login)})
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "login"))
        async with server(tmp_path) as friend:
            image = await friend.prepare(task)
    assert (image.id, image.workdir, dict(image.env)) == (registry.image, PurePosixPath("/base"), {"FROM_BASE": "yes"})
    assert image.has_startup
    async with server(tmp_path) as offline:  # the registry is gone
        assert await offline.prepare(task) == image
    client.remove_image(registry.image)


@pytest.mark.parametrize("dockerfile", [None, "FROM {image}\n"], ids=["docker_image", "FROM"])
async def test_an_image_that_no_registry_has_is_named(
    backend: Backend, registry: Registry, tmp_path: Path, dockerfile: str | None
) -> None:
    image = f"{registry.address}/base:no-such-tag"
    config = f"[environment]\ndocker_image = '{image}'\n" if dockerfile is None else ""
    task = make_task(tmp_path / "task", dockerfile and dockerfile.format(image=image), config=config)
    with pytest.raises(SandboxError) as caught:
        await backend.prepare(task)
    assert f"Image {image} is not on the engine and cannot be pulled: " in caught.value.problem
    assert "docker login" in caught.value.hint


async def test_a_pull_that_is_past_its_time_does_not_go_on(
    backend: Backend, registry: Registry, tmp_path: Path
) -> None:
    registry.drips.set()
    config = f"[environment]\ndocker_image = '{registry.image}'\nbuild_timeout_sec = 2\n"
    with pytest.raises(SandboxError, match="cannot be pulled: it took longer than 2 s"):
        await backend.prepare(make_task(tmp_path / "task", None, config=config))
    assert registry.asked_for_layer.is_set()
    assert await anyio.to_thread.run_sync(registry.hung_up.wait, 10)


async def test_loose_files_beside_an_image_lie_in_the_workdir(backend: Backend, tmp_path: Path) -> None:
    config = f"[environment]\ndocker_image = '{BASE}'\nworkdir = '/srv/here'\n"
    files = {"environment/data/a": "1", "environment/run.sh": "#!/bin/sh\necho ran\n"}
    task = make_task(tmp_path / "task", None, config=config, files=files)
    (task.folder / "environment" / "run.sh").chmod(0o755)
    assert await look(backend, task, "cd /srv/here && ./run.sh && find . -type f | sort && stat -c %u run.sh") == (
        "ran\n./.keep\n./data/a\n./run.sh\n0\n"
    )
    assert (await backend.prepare(task)).id == BASE


async def test_an_image_with_a_dockerfile_or_of_a_verifier_has_no_loose_files(backend: Backend, tmp_path: Path) -> None:
    config = f"[environment]\ndocker_image = '{BASE}'\n"
    task = make_task(tmp_path / "task", f"FROM {BASE}", config=config)
    assert (await backend.prepare(task)).layers == ()
    own = ImageSource(folder="tests", environment=EnvironmentConfig(docker_image=BASE))
    assert (await backend.prepare(task, own)).layers == ()


async def test_a_separate_verifiers_image_comes_from_the_tests(backend: Backend, tmp_path: Path) -> None:
    files = {"tests/Dockerfile": f"FROM {BASE}\nWORKDIR /checks\nCOPY test.sh /tests/\nLABEL {MARK}\n"}
    config = "[verifier]\nenvironment_mode = 'separate'\n"
    task = make_task(tmp_path / "task", f"FROM {BASE}\nWORKDIR /app\n", config=config, files=files)
    source = task.steps[0].verifier_image
    assert source is not None
    image = await backend.prepare(task, source)
    assert image.workdir == PurePosixPath("/checks")
    assert image.id != (await backend.prepare(task)).id


async def test_an_image_that_somebody_removed_is_built_again(backend: Backend, client: Client, tmp_path: Path) -> None:
    task = make_task(tmp_path / "task", f"FROM {BASE}\nENV NONCE={uuid.uuid4().hex}\n")
    image = await backend.prepare(task)
    client.remove_image(image.id)
    with pytest.raises(NotFound):
        client.inspect_image(image.id)
    assert await backend.prepare(task) == image
    assert client.inspect_image(image.id)
