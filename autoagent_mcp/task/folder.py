"""Task folders in Harbor's format: read, checked and named.

A folder is read whole or refused with the reason; nothing in it is silently passed over. What a backend cannot honour
is not decided here but by `Backend.refusals`.
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args

import tomli
from pydantic import ValidationError

from autoagent_mcp.errors import TaskError
from autoagent_mcp.models.run import Excluded
from autoagent_mcp.models.task import ENVIRONMENT, Step, StepConfig, Table, Task, TaskConfig
from autoagent_mcp.task import canary
from autoagent_mcp.task.ignore import is_ignored
from autoagent_mcp.task.steps import resolve_step

_CANARY = re.compile(r"<!--.*canary.*-->|#.*canary.*", re.IGNORECASE)
_FILES = ("task.toml", "instruction.md", "README.md", "trajectory.json")
_FOLDERS = ("environment", "tests", "solution", "steps", "files")
_NOT_HASHED = ("__pycache__", "*.pyc", ".DS_Store", "*.swp", "*.swo", "*~", ".harborignore", canary.FILE)
"""Harbor's DEFAULT_IGNORES, which hold where a task has no .gitignore, and what this server plants itself."""
_LEGACY_REWARD = b"/logs/reward.txt"


def load(folder: Path) -> Task:
    """Read and check one task folder.

    Raises:
        TaskError: It is no task, or cannot be used as written; says what to correct.
    """
    try:
        return _load(folder.name or folder.resolve().name, folder.resolve())
    except (OSError, RuntimeError) as error:
        raise TaskError(f"Task {folder.name!r} cannot be read: {error}.", "Make its files readable.") from error


def load_all(tasks_dir: Path) -> tuple[tuple[Task, ...], tuple[Excluded, ...]]:
    """Read every task folder right below `tasks_dir`, sorted by name; one that cannot be used is told and not raised.

    Hidden folders, `__pycache__` and files are no tasks. A folder that is itself a task is the only one.

    Raises:
        TaskError: There is no such folder.
    """
    if not tasks_dir.is_dir():
        raise TaskError(
            f"There is no folder {tasks_dir.name!r} with tasks.", "Make it, or set `tasks_dir` in autoagent.toml."
        )
    tasks: list[Task] = []
    excluded: list[Excluded] = []
    for folder in _candidates(tasks_dir.resolve()):
        try:
            tasks.append(load(folder))
        except TaskError as error:
            excluded.append(Excluded(task=folder.name, reasons=(str(error),)))
    return tuple(tasks), tuple(excluded)


def _candidates(tasks_dir: Path) -> list[Path]:
    if is_task(tasks_dir):
        return [tasks_dir]
    found = sorted(tasks_dir.iterdir(), key=lambda path: path.name)
    return [path for path in found if not (path.name.startswith(".") or path.name == "__pycache__" or path.is_file())]


def is_task(folder: Path) -> bool:
    """Tell whether a folder says that it is a task."""
    return (folder / "task.toml").is_file()


def solution_of(task: Task, step: Step) -> Path:
    """Return the folder with a step's solution, its own or the task's, whether or not there is one."""
    own = task.folder / step.folder / "solution"
    return own if own.is_dir() else task.folder / "solution"


def _load(name: str, root: Path) -> Task:
    if not name.isprintable():
        raise TaskError(f"The task folder's name {name!r} has unprintable characters.", "Rename it.")
    document = _read_toml(name, root)
    config = _parse(name, document)
    _check_links(name, root)
    if not config.environment.docker_image and not (root / ENVIRONMENT).is_dir():
        raise TaskError(
            f"Task {name!r} has neither a folder environment/ nor environment.docker_image.", "Give it one of them."
        )
    steps = tuple(_step(name, root, config, own) for own in config.steps or (None,))
    return Task(
        name=name,
        folder=root,
        steps=steps,
        config=config,
        digest=_digest(root),
        notices=(*_odd_keys(document, TaskConfig, ""), *_tripwire(config), *_habits(root)),
    )


def _read_toml(name: str, root: Path) -> dict[str, Any]:
    if not is_task(root):
        raise TaskError(f"The folder {name!r} has no task.toml.", "Add one, or move the folder out of the tasks.")
    try:
        return tomli.loads(_read_text(name, root, "task.toml"))
    except (tomli.TOMLDecodeError, RecursionError) as error:
        raise TaskError(f"{name}/task.toml is not valid TOML: {error}.", "Correct it.") from error


def _read_text(name: str, root: Path, file: str) -> str:
    try:
        return (root / file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TaskError(f"{name}/{file} is not UTF-8: {error.reason} at byte {error.start}.", "Save it so.") from error


def _parse(name: str, document: dict[str, Any]) -> TaskConfig:
    try:
        return TaskConfig.model_validate(document)
    except ValidationError as error:
        complaints = [
            f"{'.'.join(str(part) for part in one['loc']) or 'task.toml'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_url=False)[:3]
        ]
        raise TaskError(f"{name}/task.toml cannot be used: {'; '.join(complaints)}.", "Correct it.") from error


def strip_canary(text: str) -> str:
    """Return an instruction without its leading canary lines and the blank lines after them, as Harbor does."""
    lines = text.split("\n")
    start = 0
    while start < len(lines) and _CANARY.fullmatch(lines[start].strip()):
        start += 1
    while start < len(lines) and not lines[start].strip():
        start += 1
    return "\n".join(lines[start:])


# What must be there


def _check_links(name: str, root: Path) -> None:
    for path in _parts(root):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            place = path.relative_to(root).as_posix()
            raise TaskError(f"{name}/{place} is a link that leads out of the task.", "Put a copy of the file there.")


def _parts(root: Path) -> Iterator[Path]:
    """Every file, folder and link that belongs to the task; links to folders are not followed."""
    for part in (*_FILES, *_FOLDERS):
        path = root / part
        if path.exists() or path.is_symlink():
            yield path
        if part in _FOLDERS and not path.is_symlink():
            for folder, folders, files in os.walk(path):
                yield from (Path(folder, entry) for entry in (*folders, *files))


def _step(name: str, root: Path, config: TaskConfig, own: StepConfig | None) -> Step:
    place = f"steps/{own.name}/" if own else ""
    _require(name, root, f"{place}instruction.md")
    instruction = strip_canary(_read_text(name, root, f"{place}instruction.md"))
    step = resolve_step(root, config, own, instruction)
    if not step.has_bundled_tests:
        script = _test_script(config, step)
        has_own = own is not None and (root / place / "tests" / script).is_file()
        _require(name, root, f"{place if has_own else ''}tests/{script}")
    return step


def _test_script(config: TaskConfig, step: Step) -> str:
    environment = step.verifier_image.environment if step.verifier_image else config.environment
    return "test.bat" if environment.os == "windows" else "test.sh"


def _require(name: str, root: Path, file: str) -> None:
    if not (root / file).is_file():
        raise TaskError(f"Task {name!r} has no {file}.", "Add it, or move the folder out of the tasks.")
    if is_ignored(root, root / file):
        raise TaskError(f"Task {name!r} needs {file}, which a .harborignore leaves out.", "Take the pattern out.")


def _digest(root: Path) -> str:
    """Hash as Harbor's lock does: sha256 over sorted lines `path NUL sha256(file)`."""
    lines: list[str] = []
    for path in _parts(root):
        place = path.relative_to(root)
        if path.is_file() and not any(fnmatch.fnmatch(part, one) for part in place.parts for one in _NOT_HASHED):
            lines.append(f"{place.as_posix()}\0{_hash_file(path)}\n")
    return f"sha256:{hashlib.sha256(''.join(sorted(lines)).encode()).hexdigest()}"


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1024 * 1024):
            digest.update(chunk)
    return digest.hexdigest()


# What is odd


def _odd_keys(table: Mapping[str, Any], model: type[Table], place: str) -> Iterator[str]:
    """Walk the raw TOML beside its model: unknown keys, with the nearest known one, and old names."""
    for key, value in table.items():
        where = f"{place}{key}"
        if key in model.legacy_keys:
            yield f"task.toml: {where} is the old name of {model.legacy_keys[key]}."
        elif key not in model.model_fields:
            nearest = difflib.get_close_matches(key, model.model_fields, n=1)
            offer = f" Did you mean {nearest[0]}?" if nearest else ""
            yield f"task.toml: {where} is not known and has no effect.{offer}"
        else:
            for inner in _tables_of(model.model_fields[key].annotation):
                yield from _odd_in(value, inner, where)


def _odd_in(value: object, model: type[Table], where: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _odd_keys(cast("dict[str, Any]", value), model, f"{where}.")
    elif isinstance(value, list):
        for number, item in enumerate(cast("list[object]", value), start=1):
            yield from _odd_in(item, model, f"{where}[{number}]")


def _tables_of(annotation: object) -> Iterator[type[Table]]:
    if isinstance(annotation, type) and issubclass(annotation, Table):
        yield annotation
    for argument in get_args(annotation):
        yield from _tables_of(argument)


def _tripwire(config: TaskConfig) -> Iterator[str]:
    if config.is_impossible:
        yield "task.toml: it cannot be solved (metadata.impossible), so it is run but counts for no score."
    elif config.metadata.get("impossible", False) is not False:
        yield "task.toml: metadata.impossible is neither true nor false and has no effect."


def _habits(root: Path) -> Iterator[str]:
    """AutoAgent's own ways, which Harbor does not know."""
    if (root / "files").is_dir():
        yield "files/ is copied to /task/files and the instruction to /task/instruction.md, as AutoAgent does."
    for path in (root / "trajectory.json", *sorted(root.glob("steps/*/trajectory.json"))):
        if path.is_file():
            yield f"{path.relative_to(root).as_posix()} is what an agent said before, and is not given to the harness."
    script = root / "tests" / "test.sh"
    if script.is_file() and _LEGACY_REWARD in script.read_bytes():
        yield "tests/test.sh names /logs/reward.txt: it is read where /logs/verifier holds no reward."
