"""Tokens planted where only a cheat would read them: beside tests and solutions, and in the folders of hidden tasks.

tests/ comes into a sandbox when the work there is over, solution/ never while a harness is at work. A harness that
holds such a token, or sends it to the model, has seen what it must not see.

A token is half a name and half a signature of that name, both made with a key in the user's state folder. So a server
knows its own tokens without keeping a list of them, also those of a task that was renamed since.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from autoagent_mcp.errors import SetupError
from autoagent_mcp.models.task import Task
from autoagent_mcp.workspace import user_state

FILE = ".autoagent-canary"
"""Never part of a task's digest, and kept out of git."""
_PREFIX = "autoagent-canary-"
_TEXT = "Nobody who solves this task ever comes to read this file, and what repeats its token gives itself away: {}\n"
_BARE_TOKEN = re.compile(rf"{_PREFIX.replace('-', '')}([0-9a-f]{{32}})")
_SENT_TOKEN = re.compile(rf"{_PREFIX}([0-9a-f]{{32}})".encode())
_ESCAPED = re.compile(rb"\\u00([0-7][0-9a-fA-F])")
"""How JSON may write an ASCII character."""
_SEPARATORS = re.compile(r"[\W_]+")
_HALF_HEX = 16
_KEY_BYTES = 32


class Canaries:
    """The tokens of one workspace.

    Args:
        key: Signs them.
        workspace_id: Whose they are.
    """

    def __init__(self, key: bytes, workspace_id: str) -> None:
        self._key = key
        self._workspace_id = workspace_id

    def token(self, task: str, place: str) -> str:
        """Return the token of a folder.

        Args:
            task: The task's name.
            place: The folder, relative to the task's own.
        """
        name = self._half("name", task, place)
        return f"{_PREFIX}{name}{self._half('signature', name)}"

    def plant(self, tasks: Sequence[Task], *, hidden: Sequence[Task] = ()) -> tuple[str, ...]:
        """See that each task's tests and solutions hold their token; files that are right are not touched.

        A folder that cannot be written goes without, which is told and nothing else.

        Args:
            tasks: Those that may be named.
            hidden: Those that may not; they get a token at their root too.
        """
        notices = [
            f"{task.name}: {place}/{FILE} cannot be written ({why}), so that folder goes without a canary token."
            for task in tasks
            for place, why in self._plant(task, _places(task))
        ]
        if [failure for task in hidden for failure in self._plant(task, (".", *_places(task)))]:
            notices.append("Not every hidden task could be given its canary tokens.")
        return tuple(notices)

    def is_in(self, text: str) -> bool:
        """Tell whether a text holds a token of this workspace, in whatever case and with whatever separators."""
        bare = _SEPARATORS.sub("", text.lower())
        return any(self._is_own(found) for found in _BARE_TOKEN.findall(bare))

    def is_in_request(self, raw: bytes) -> bool:
        """Tell whether a request's JSON holds a token of this workspace as it stands in its file."""
        plain = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), raw) if b"\\u00" in raw else raw
        return any(self._is_own(found.decode()) for found in _SENT_TOKEN.findall(plain))

    def _is_own(self, digits: str) -> bool:
        name, signature = digits[:_HALF_HEX], digits[_HALF_HEX:]
        return hmac.compare_digest(signature, self._half("signature", name))

    def _half(self, *words: str) -> str:
        message = "\0".join((self._workspace_id, *words)).encode(errors="surrogateescape")
        return hmac.digest(self._key, message, "sha256").hex()[:_HALF_HEX]

    def _plant(self, task: Task, places: Sequence[str]) -> list[tuple[str, str]]:
        """Plant a task's tokens and return where it could not be done, and why."""
        failures: list[tuple[str, str]] = []
        for place in places:
            try:
                _write(task.folder / place / FILE, _TEXT.format(self.token(task.name, place)))
            except OSError as error:
                failures.append((place, error.strerror or str(error)))
        return failures


def open_canaries(workspace_id: str) -> Canaries:
    """Return a workspace's tokens; the first call on a machine makes their key.

    Raises:
        SetupError: The user's state folder cannot be written.
    """
    path = user_state() / "canary.key"
    try:
        if not path.exists():
            _make_key(path)
        return Canaries(path.read_bytes(), workspace_id)
    except OSError as error:
        hint = "Make it writable, or set XDG_STATE_HOME to a folder that is."
        raise SetupError(f"The key of the canary tokens cannot be kept in {path.parent}: {error}.", hint) from error


def _make_key(path: Path) -> None:
    """Make the key so that it appears whole, and of several servers that start at once only one's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
        try:
            path.hardlink_to(file.name)
        except FileExistsError:
            return


def _places(task: Task) -> tuple[str, ...]:
    """Return where tests and solutions lie; a link leads to a folder that has a token of its own, or to neither."""
    roots = ("", *(f"{step.folder}/" for step in task.steps if step.folder))
    places = (f"{root}{name}" for root in roots for name in ("tests", "solution"))
    folders = {place: task.folder / place for place in places}
    return tuple(place for place, folder in folders.items() if folder.is_dir() and not folder.is_symlink())


def _write(path: Path, text: str) -> None:
    """Write a file where it does not say so already, in place: an unfinished one beside it would belong to the task."""
    if not path.is_symlink() and path.is_file() and path.read_bytes() == text.encode():
        return
    # Neither a link that a task brings along is followed, nor a pipe waited for.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o644), "w", encoding="utf-8") as file:
        file.write(text)
