"""Dockerfiles on the host's own system."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from autoagent_mcp.errors import SandboxError, SandboxRefused
from autoagent_mcp.models.task import Task, TaskConfig
from autoagent_mcp.sandbox.base import SandboxSpec
from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend
from autoagent_mcp.task.steps import resolve_step


def make_task(folder: Path, dockerfile: str | None, files: dict[str, str] | None = None, **config: object) -> Task:
    context = folder / "task" / "environment"
    for name, content in (files or {}).items():
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(content, encoding="utf-8")
    context.mkdir(parents=True, exist_ok=True)
    if dockerfile is not None:
        (context / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    settings = TaskConfig.model_validate(config)
    return Task(
        name="task",
        folder=folder / "task",
        steps=tuple(resolve_step(folder / "task", settings, own, "Do it.") for own in settings.steps or (None,)),
        config=settings,
        digest=str(hash((dockerfile, str(files)))),
    )


async def look(backend: BubblewrapBackend, task: Task, command: str) -> str:
    """Return what a command prints in the task's sandbox."""
    spec = SandboxSpec(name="look", image=await backend.prepare(task))
    async with backend.start(spec) as sandbox:
        result = await sandbox.exec(command)
    assert result.return_code == 0, result.stderr
    return result.stdout


async def test_workdir_files_and_variables_of_a_dockerfile_are_there(
    backend: BubblewrapBackend, tmp_path: Path
) -> None:
    dockerfile = """
    # syntax=docker/dockerfile:1
    ARG VERSION=3.11
    FROM --platform=linux/amd64 python:${VERSION}-slim-bookworm AS main
    ENV NAME="two words" \\
        # a comment inside
        PLACE=/data
    ENV OLD style value
    WORKDIR /app
    COPY data.csv notes/ ./
    COPY --chown=root:root --chmod=755 run.sh /usr/local/bin/run
    ADD ["*.txt", "${PLACE}/texts/"]
    WORKDIR sub
    COPY . all
    USER root
    EXPOSE 80
    LABEL a=b
    CMD ["sleep", "1"]
    """
    files = {"data.csv": "1,2", "notes/a.md": "a", "run.sh": "#!/bin/sh\necho ran", "x.txt": "x", "y.txt": "y"}
    task = make_task(tmp_path, dockerfile, files)
    assert backend.refusals(task) == ()
    image = await backend.prepare(task)
    assert image.base == "python:3.11-slim-bookworm"
    shown = await look(
        backend,
        task,
        "pwd; echo $NAME $PLACE $OLD; cd ..; ls; run; ls /data/texts; ls sub/all/notes; stat -c %u data.csv",
    )
    assert shown.split("\n") == [
        *(
            "/app/sub",
            "two words /data style value",
            "a.md",
            "data.csv",
            "sub",
            "ran",
            "x.txt",
            "y.txt",
            "a.md",
            "0",
            "",
        )
    ]


async def test_a_task_with_an_image_and_loose_files_has_them_in_its_workdir(
    backend: BubblewrapBackend, tmp_path: Path
) -> None:
    task = make_task(
        tmp_path, None, {"data/a": "1", "b": "2"}, environment={"docker_image": "some/image:1", "workdir": "/work"}
    )
    assert await look(backend, task, "pwd; find . -type f | sort") == "/work\n./b\n./data/a\n"


async def test_add_unpacks_archives_and_copy_does_not(backend: BubblewrapBackend, tmp_path: Path) -> None:
    task = make_task(tmp_path, "FROM debian\nADD a.tgz /added/\nCOPY a.tgz /copied/\n", {"inner": "packed"})
    context = task.folder / "environment"
    with tarfile.open(context / "a.tgz", "w:gz") as archive:
        archive.add(context / "inner", "inner")
    assert await look(backend, task, "cat /added/inner; ls /copied") == "packeda.tgz\n"


REFUSED = {
    "RUN apt-get update": "environment/Dockerfile line 2: RUN apt-get update needs Docker",
    "COPY a /\nRUN \\\n  true": "environment/Dockerfile line 3: RUN true needs Docker",
    "FROM other": "a second stage",
    "USER postgres": "line 2: USER postgres (another user than root) needs Docker",
    "ADD https://example.com/x /x": "a remote source",
    "ADD git@github.com:a/b.git /x": "a remote source",
    "COPY --from=build /x /x": "--from",
    "COPY --chown=www-data a /a": "another owner than root",
    "COPY ../secret /x": "a source outside of environment/",
    "COPY <<EOF /x\nhello\nEOF": "a here-document",
    "COPY onlyone": "no target",
    "HEALTHCHECK CMD true": "HEALTHCHECK CMD true needs Docker",
    "ONBUILD RUN true": "ONBUILD RUN true needs Docker",
    "FETCH x": "FETCH x needs Docker",
}


@pytest.mark.parametrize("line", REFUSED)
async def test_what_cannot_be_honoured_is_named_with_its_line(
    backend: BubblewrapBackend, tmp_path: Path, line: str
) -> None:
    task = make_task(tmp_path, f"FROM debian\n{line}\n", {"a": ""})
    assert any(REFUSED[line] in refusal for refusal in backend.refusals(task)), backend.refusals(task)
    with pytest.raises(SandboxRefused, match="task"):
        await backend.prepare(task)


def test_compose_files_and_ignore_files_are_refused_by_name(backend: BubblewrapBackend, tmp_path: Path) -> None:
    task = make_task(tmp_path, "FROM debian", {"docker-compose.yaml": "", ".dockerignore": ""})
    assert backend.refusals(task) == (
        "environment/docker-compose.yaml: a task is one sandbox here, and compose files are not run",
        "environment/.dockerignore needs Docker",
    )


def test_a_missing_dockerfile_and_one_without_from_are_refused(backend: BubblewrapBackend, tmp_path: Path) -> None:
    assert "Dockerfile is missing" in backend.refusals(make_task(tmp_path / "a", None))[0]
    assert "has no FROM" in backend.refusals(make_task(tmp_path / "b", "WORKDIR /app"))[0]


async def test_a_source_that_does_not_exist_is_named(backend: BubblewrapBackend, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"task task: environment/Dockerfile line 2 copies 'nothing'"):
        await backend.prepare(make_task(tmp_path, "FROM debian\nCOPY nothing /x\n"))


async def test_a_link_that_leads_out_of_the_context_is_not_followed(backend: BubblewrapBackend, tmp_path: Path) -> None:
    task = make_task(tmp_path, "FROM debian\nCOPY link /x\n")
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (task.folder / "environment" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(SandboxError, match="leads out of its folder"):
        await backend.prepare(task)


async def test_the_same_context_gives_the_same_image_and_another_gives_another(
    backend: BubblewrapBackend, tmp_path: Path
) -> None:
    first = await backend.prepare(make_task(tmp_path / "a", "FROM debian\nCOPY a /a\n", {"a": "1"}))
    second = await backend.prepare(make_task(tmp_path / "b", "FROM debian\nCOPY a /a\n", {"a": "1"}))
    third = await backend.prepare(make_task(tmp_path / "c", "FROM debian\nCOPY a /a\n", {"a": "2"}))
    assert first.id == second.id
    assert first.id != third.id


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"steps": [{"name": "one", "agent": {"user": "agent"}}]}, "[agent] user = 'agent'"),
        ({"verifier": {"environment": {"docker_image": "debian"}}}, "docker_image 'debian' brings its tests"),
        ({"environment": {"network_mode": "allowlist"}}, "[environment] network_mode = 'allowlist'"),
        ({"agent": {"network_mode": "allowlist"}}, "[agent] network_mode = 'allowlist'"),
        ({"verifier": {"network_mode": "allowlist"}}, "[verifier] network_mode = 'allowlist'"),
        ({"environment": {"gpus": 1}}, "gpus"),
        ({"environment": {"tpu": {"type": "v4", "topology": "2x2"}}}, "tpu"),
        ({"environment": {"os": "windows"}}, "os = 'windows'"),
        ({"artifacts": [{"source": "/a", "service": "db"}]}, "artifact '/a' of service 'db'"),
        ({"agent": {"user": "agent"}}, "[agent] user = 'agent'"),
        ({"verifier": {"user": 1000}}, "[verifier] user = 1000"),
        ({"verifier": {"collect": [{"command": "true", "service": "db"}]}}, "[verifier] collect of service 'db'"),
    ],
)
def test_settings_that_cannot_be_honoured_are_named(
    backend: BubblewrapBackend, tmp_path: Path, config: dict[str, object], expected: str
) -> None:
    task = make_task(tmp_path, "FROM debian", None, **config)
    assert len(backend.refusals(task)) == 1
    assert expected in backend.refusals(task)[0]


def test_what_differs_is_told(backend: BubblewrapBackend, tmp_path: Path) -> None:
    task = make_task(tmp_path, "FROM debian:12\nENTRYPOINT x", None, environment={"cpus": 2})
    notices = " ".join(backend.notices(task))
    for word in ("debian:12 is a label", "runs offline", "2 cpus", "ENTRYPOINT is not run"):
        assert word in notices
    quiet = make_task(tmp_path / "b", "FROM debian:12", None, environment={"network_mode": "no-network"})
    assert "offline" not in " ".join(backend.notices(quiet))
