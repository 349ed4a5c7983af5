"""Make a workspace: only what is missing is made, and nothing that is there is overwritten."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from autoagent_mcp import config as config_file
from autoagent_mcp._io import write_whole
from autoagent_mcp.config import FILE_NAME, Config
from autoagent_mcp.errors import HarnessError, SetupError
from autoagent_mcp.harness import boundary
from autoagent_mcp.init import client_files, repository, templates
from autoagent_mcp.init.templates import Harness
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.workspace import Workspace


class Step(Frozen):
    """What became of a file or folder."""

    path: str
    done: Literal["made", "added to", "kept"]
    """`kept`: it is as it was."""
    by_hand: str = ""
    """What a person should do about it; nothing where it is right."""


class Initialised(Frozen):
    """What `init` did."""

    folder: Path
    steps: tuple[Step, ...]
    model: str
    """As `provider/name`."""
    commit: str
    """The command that commits what of a workspace is not committed yet; nothing where all is."""


def init(folder: Path, harness: Harness) -> Initialised:
    """Make the folder a workspace. Doing so again changes nothing.

    Args:
        folder: Made where it is missing.
        harness: Which SDK a new agent.py is written with.

    Raises:
        SetupError: There is no git, or the folder cannot be a repository of its own, and nothing was made; or
            something cannot be written.
        ConfigError: There is an autoagent.toml that cannot be used; nothing was made then.
    """
    try:
        return _init(folder, harness)
    except OSError as error:
        raise SetupError(
            f"{error.filename or folder} cannot be read or written: {error.strerror}.",
            "Mend that and call again: what was made until then stays, and the rest is made.",
        ) from error


def _init(folder: Path, harness: Harness) -> Initialised:
    if folder.exists() and not folder.is_dir():
        raise SetupError(f"{folder} is not a folder.", "Name a folder; it is made where it is missing.")
    is_new = repository.is_needed(folder)
    config = config_file.load(folder)
    has_settings = (folder / FILE_NAME).exists()
    model = config.model if has_settings else templates.usual_model(harness)
    folder.mkdir(parents=True, exist_ok=True)
    if is_new:
        repository.make(folder)
    steps = tuple(_steps(Workspace(folder=folder), config, templates.texts(harness, model), model.name))
    if is_new:
        made = [step.path for step in steps if step.done == "made"]
        repository.commit(folder, repository.uncommitted(folder, made))
    left = repository.uncommitted(folder, [step.path for step in steps])
    return Initialised(
        folder=folder,
        steps=steps,
        model=f"{model.provider}/{model.name}",
        commit=f"git add {shlex.join(left)} && git commit -m 'Add autoagent-mcp'" if left else "",
    )


def _steps(workspace: Workspace, config: Config, texts: templates.Texts, model: str) -> Iterator[Step]:
    folder = workspace.folder
    yield from _harness(workspace, texts, model)
    yield _made(folder, "program.md", texts.program)
    yield _made(folder, FILE_NAME, texts.settings)
    yield from _tasks(folder, config.tasks_dir)
    yield _merged(folder, ".mcp.json", client_files.with_server)
    yield _merged(folder, ".claude/settings.json", lambda text: client_files.with_rules(text, folder, config.tasks_dir))
    yield _ignored(folder)


def _harness(workspace: Workspace, texts: templates.Texts, model: str) -> Iterator[Step]:
    """A harness is made as a whole; one of another's making is looked at."""
    if not workspace.agent.exists() or workspace.agent.read_bytes() == texts.agent.encode():
        yield _made(workspace.folder, "agent.py", texts.agent)
        yield _made(workspace.folder, ".agent/requirements.txt", texts.requirements)
        return
    try:
        boundary.check({"agent.py": workspace.agent.read_bytes()}, model=model)
    except HarnessError as error:
        yield Step(path="agent.py", done="kept", by_hand=str(error))
    else:
        yield Step(path="agent.py", done="kept")


def _tasks(folder: Path, tasks_dir: str) -> Iterator[Step]:
    place = (folder / tasks_dir).resolve()
    if place.exists() or not place.is_relative_to(folder):
        yield Step(path=tasks_dir, done="kept", by_hand="" if place.exists() else "There is no such folder: make it.")
        return
    for task in sorted(templates.TASKS.iterdir()):
        shutil.copytree(task, folder / tasks_dir / task.name)
        yield Step(path=f"{tasks_dir}/{task.name}", done="made")


def _made(folder: Path, name: str, text: str) -> Step:
    path = folder / name
    if path.exists() or path.is_symlink():
        return Step(path=name, done="kept")
    if elsewhere := _elsewhere(folder, path):
        return Step(path=name, done="kept", by_hand=elsewhere)
    _write(path, text)
    return Step(path=name, done="made")


def _merged(folder: Path, name: str, merge: Callable[[str], str]) -> Step:
    path = folder / name
    old = path.read_bytes() if path.exists() else b""
    try:
        new = merge(old.decode())
    except (ValueError, RecursionError) as error:
        return _left(name, f"It cannot be read ({error}).", merge(""))
    if new == old.decode():
        return Step(path=name, done="kept")
    if elsewhere := _elsewhere(folder, path):
        return _left(name, elsewhere, merge(""))
    _write(path, new)
    return Step(path=name, done="added to" if old else "made")


def _ignored(folder: Path) -> Step:
    path = folder / ".gitignore"
    old = path.read_bytes().decode(errors="surrogateescape") if path.exists() else ""
    missing = [line for line in templates.IGNORED if line not in _lines(old)]
    if not missing:
        return Step(path=".gitignore", done="kept")
    if elsewhere := _elsewhere(folder, path):
        return _left(".gitignore", elsewhere, " ".join(missing))
    end = "" if not old or old.endswith("\n") else "\n"
    data = old + end + "".join(f"{line}\n" for line in missing)
    _write(path, data.encode(errors="surrogateescape"))
    return Step(path=".gitignore", done="added to" if old else "made")


def _left(name: str, why: str, ours: str) -> Step:
    return Step(path=name, done="kept", by_hand=f"{why} Add by hand: {' '.join(ours.split())}")


def _elsewhere(folder: Path, path: Path) -> str:
    """Say where a link leads out of the workspace: what lies there may belong to others, too."""
    place = path.resolve()
    return "" if place.is_relative_to(folder.resolve()) else f"It lies behind a link, at {place}."


def _lines(text: str) -> Iterable[str]:
    return {line.strip() for line in text.splitlines()}


def _write(path: Path, data: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    write_whole(path.resolve(), data, mode=mode)
