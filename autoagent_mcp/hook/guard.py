"""May the client make this edit? Not of what says how good a harness is, and not of agent.py's fixed section.

A help for an honest client, which learns at once what it would learn at the next call. It holds nobody who goes around
it with a shell: that is found by the server (experiment/integrity.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import tomli

from autoagent_mcp.hook import edits, shell
from autoagent_mcp.hook.place import above, text

_TASKS = (
    "Tasks, tests and solutions stay as they are while a harness is improved: edit agent.py above its fixed boundary, "
    "or .agent/. (A person who has tasks written does so without this hook.)"
)
_OWNED = {
    ".autoagent": "The server alone writes there: read_ledger, read_run and read_trace show what is in it.",
    "results.tsv": "The server alone writes it: keep_change and revert_change enter what was decided.",
    "autoagent.toml": "The settings are the person's: say which you would change, and go on with those that are there.",
    ".git": "The server alone writes there: keep_change commits, revert_change brings the incumbent back.",
}
_FIXED = (
    "From the line '# === FIXED ADAPTER BOUNDARY ===' on, agent.py is the same for every candidate, and this edit "
    "would change that: edit only what is above the line."
)


def objection(data: Mapping[str, object], folders: list[Path]) -> str:
    """Return why an edit may not be made, and what to do instead; empty where it may, or where the call is no edit.

    Args:
        data: The hook's input: `tool_name`, `tool_input`, `cwd`.
        folders: The client's workspaces; a file in another workspace is guarded as well.

    Raises:
        OSError: A file that it needs cannot be read.
        ValueError: The same: it is no text, or no TOML.
    """
    return next((reason for reason in _objections(data, folders) if reason), "")


def answer(reason: str) -> dict[str, object]:
    """Return what refuses the call; the client's model reads the reason."""
    denied = {"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": reason}
    return {"hookSpecificOutput": denied}


def _objections(data: Mapping[str, object], folders: list[Path]) -> Iterator[str]:
    cwd = text(data, "cwd") or os.fspath(Path.cwd())
    command = shell.command(data)
    yield shell.for_people(command)
    for write in shell.written(command, cwd):
        yield _owned(write.path, folders, is_removal=write.is_removal)
    for edit in edits.asked(data):
        path = _absolute(cwd, edit.path)
        yield _owned(path, folders)
        yield _fixed(path, edit, folders)


def _absolute(cwd: str, path: str) -> str:
    return os.path.abspath(os.path.join(cwd, path))  # noqa: PTH100, PTH118 - as written, its links not followed


def _real(path: str) -> Path:
    """Follow links; a path that leads nowhere is as it is written, and hides no other one of the same call."""
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError, ValueError):
        return Path(path)


def _owned(path: str, folders: list[Path], *, is_removal: bool = False) -> str:
    """Say who owns a file, whichever way its path is written."""
    forms = (Path(path), _real(path))
    for folder in _workspaces(forms, folders):
        for root, reason in _roots(folder):
            if any(_is_in(form, root) or (is_removal and _is_in(root, form)) for form in forms):
                return f"{path}: {reason}"
    return ""


def _workspaces(forms: tuple[Path, ...], folders: list[Path]) -> list[Path]:
    return list(dict.fromkeys([*folders, *(folder for form in forms if (folder := above(form)))]))


def _roots(folder: Path) -> Iterator[tuple[Path, str]]:
    for name, reason in _OWNED.items():
        yield from ((form, reason) for form in (folder / name, (folder / name).resolve()))
    for name in _task_folders(folder):
        root = Path(_absolute(str(folder), os.path.expanduser(name)))  # noqa: PTH111 - a text, also one without ~
        if not _is_in(folder, root):  # nothing could be edited where the workspace itself were the task
            yield from ((form, _TASKS) for form in (root, root.resolve()))


def _task_folders(folder: Path) -> Iterator[str]:
    """Return the folders of the visible and the hidden tasks, as autoagent.toml names them."""
    try:
        settings = tomli.loads((folder / "autoagent.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or a broken one, which the server complains of
        settings = {}
    split = settings.get("split")
    hidden = cast("dict[str, object]", split).get("hidden_dir") if isinstance(split, dict) else None
    yield from (name for name in (settings.get("tasks_dir", "tasks"), hidden) if isinstance(name, str))


def _is_in(path: Path, root: Path) -> bool:
    """Compare without regard to case: some file systems have none, and no honest edit depends on it."""
    parts, roots = ([part.casefold() for part in each.parts] for each in (path, root))
    return parts[: len(roots)] == roots


def _fixed(path: str, edit: edits.Edit, folders: list[Path]) -> str:
    """Say so where the edit changes the fixed section; putting it back as it was shipped is right."""
    real = _real(path)
    if real.name.casefold() != "agent.py" or not any(real.parent == each for each in _workspaces((real,), folders)):
        return ""
    before = real.read_text(encoding="utf-8") if real.exists() else ""
    after = _from_boundary(edit.change(before))
    if after == _from_boundary(before) and after:
        return ""
    from autoagent_mcp.harness.adapter import fixed_part  # noqa: PLC0415 - most edits do not come this far

    return "" if after == fixed_part().splitlines() else _FIXED


def _from_boundary(content: str) -> list[str]:
    lines = content.splitlines()
    return lines[lines.index(edits.BOUNDARY) :] if edits.BOUNDARY in lines else []
