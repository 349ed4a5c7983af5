"""Read and edit the harness's files for a client that has no file tools of its own.

What cannot be measured is not written: a file that would no longer parse, or an agent.py whose fixed section would
change, stays as it is, and the error says why.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import PurePosixPath

import anyio

from autoagent_mcp.errors import HarnessError, UnknownNameError
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.harness import adapter, boundary
from autoagent_mcp.harness.syntax import parse
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.repo import Editable
from autoagent_mcp.sandbox import requirements
from autoagent_mcp.workspace import EDITABLE

PROGRAM = "program.md"
_AGENT, _FOLDER = EDITABLE
_LIBRARIES = f"{_FOLDER}/requirements.txt"
_NAME_BYTES = 200
_PROGRAM_BYTES = 1_000_000
_PLACES_SHOWN = 5
_NOTHING = "Nothing was written."
_READ_AGAIN = f"{_NOTHING} Call read_harness for the text as it is."


class TextFile(Frozen):
    """A file as it is now."""

    name: str
    text: str
    fixed_from_line: int | None = None
    """From this line on it belongs to the server; None where all of it may be edited."""
    files: tuple[str, ...] = ()
    """All files that can be read."""

    @property
    def version(self) -> str:
        """What changes when the file does."""
        return _version(self.text.encode())


class Edit(Frozen):
    """One change of one file: a replacement, a whole new content, or its removal."""

    file: str
    old: str = ""
    new: str = ""
    content: str | None = None
    delete: bool = False
    version: str = ""
    """Of the file as it was read, for a new content or its removal where the file is there already."""


class HarnessFiles:
    """The files of one workspace's harness."""

    def __init__(self, shared: Shared) -> None:
        self._repo = shared.record.repo
        self._program = shared.bench.workspace.program
        self._model = shared.bench.config.model.name

    async def read(self, name: str) -> TextFile:
        """Return agent.py, a file of .agent/, or program.md.

        Raises:
            UnknownNameError: There is no such file.
            HarnessError: It is no UTF-8 text, or program.md is too long.
            RepoError: The harness cannot be read as it is.
        """
        editable = await self._repo.read()
        program = anyio.Path(self._program)
        names = (*editable.files, *([PROGRAM] if await program.is_file() else []))
        if name not in names:
            raise UnknownNameError("file", name, names)
        if name == PROGRAM:
            if (await program.stat()).st_size > _PROGRAM_BYTES:
                raise HarnessError(f"{name} has more than {_PROGRAM_BYTES} bytes.", "A person has to shorten it.")
            return TextFile(name=name, text=_decoded(name, await program.read_bytes()), files=names)
        text = _decoded(name, editable.files[name])
        fixed = boundary.fixed_from(text) if name == _AGENT else None
        return TextFile(name=name, text=text, fixed_from_line=fixed, files=names)

    async def edit(self, edit: Edit) -> tuple[TextFile | None, int]:
        """Change a file; return it as it is then, None where it was removed, and the first line that was changed.

        Raises:
            HarnessError: The file may not be edited, the edit does not fit it, or it could not be measured afterwards.
            RepoError: The harness cannot be read as it is, or was edited from elsewhere at the same time.
        """
        _check_name(edit.file)
        editable = await self._repo.read()
        files = dict(editable.files)
        text, line = _edited(edit, files.get(edit.file))
        if text is None:
            del files[edit.file]
        else:
            files[edit.file] = _encoded(edit.file, text)
            self._check(edit.file, files)
        changed = Editable(files=files, executable=editable.executable & files.keys())
        await self._repo.write(changed, replacing=editable)
        return None if text is None else await self.read(edit.file), line

    def _check(self, name: str, files: dict[str, bytes]) -> None:
        below = [other for other in files if other.startswith(f"{name}/") or name.startswith(f"{other}/")]
        if below:
            raise HarnessError(f"{name} and {below[0]} cannot both be files.", f"{_NOTHING} Choose another name.")
        try:
            boundary.check_files(files)
            if name == _AGENT:
                boundary.check(files, model=self._model)
            elif name == _LIBRARIES:
                requirements.checked(files[name].decode())
            elif name.endswith(".py"):
                parse(files[name])
        except HarnessError as error:
            raise HarnessError(error.problem, f"{_NOTHING} {error.hint}") from error
        except SyntaxError as error:
            raise HarnessError(
                f"{name} line {error.lineno} would have a syntax error: {error.msg}.", f"{_NOTHING} Correct the edit."
            ) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise HarnessError(f"{name} could not be parsed: {error}.", f"{_NOTHING} Correct the edit.") from error


def _check_name(name: str) -> None:
    """See that a file may be edited at all; links are refused where the harness is read."""
    if name == _AGENT:
        return
    parts = PurePosixPath(name).parts
    is_short = len(name.encode(errors="replace")) <= _NAME_BYTES
    is_plain = is_short and name.isprintable() and "\\" not in name and name == "/".join(parts)
    is_seen = not any(part.startswith(".") or part == "__pycache__" for part in parts[1:])
    if parts[:1] == (_FOLDER,) and len(parts) > 1 and is_plain and is_seen:
        return
    raise HarnessError(
        f"{name[:_NAME_BYTES]!r} is not yours to edit.",
        "Only agent.py above its fixed boundary and files below .agent/ are, by plain, short names that do not begin "
        "with a dot, relative to the workspace.",
    )


def _edited(edit: Edit, data: bytes | None) -> tuple[str | None, int]:
    """Return the file's text after the edit, None where it is removed, and the first line that differs."""
    if [bool(edit.old), edit.content is not None, edit.delete].count(True) != 1:
        raise HarnessError(
            "It is not clear what is to be done.", "Give either `old` and `new`, or `content`, or delete=true."
        )
    if edit.old:
        if data is None:
            raise HarnessError(f"There is no file {edit.file}.", "Give `content` to make it.")
        return _replaced(edit, _decoded(edit.file, data))
    _check_version(edit, data)
    if edit.content is None:
        if edit.file == _AGENT:
            raise HarnessError("agent.py cannot be removed.", "Edit it, or call revert_change.")
        return None, 1
    if edit.file == _AGENT and boundary.fixed_from(edit.content) is None:
        return f"{edit.content.rstrip()}\n\n\n{adapter.fixed_part()}", 1
    return edit.content, 1


def _check_version(edit: Edit, data: bytes | None) -> None:
    if data is None:
        if edit.delete:
            raise HarnessError(f"There is no file {edit.file}.", "There is nothing to do.")
        return
    version = _version(data)
    if edit.version != version:
        what = f"is at version {version} and not {edit.version}" if edit.version else "is there already"
        raise HarnessError(
            f"{edit.file} {what}.", f"{_NOTHING} Call read_harness, and give the `version` that it says."
        )


def _replaced(edit: Edit, text: str) -> tuple[str, int]:
    old, new = (_with_ends_of(text, part) for part in (edit.old, edit.new))
    if old == new:
        raise HarnessError("`old` and `new` are the same.", _READ_AGAIN)
    found = text.count(old)
    if found == 1:
        start = text.index(old)
        return text[:start] + new + text[start + len(old) :], _line_at(text, start)
    if not found:
        raise HarnessError(f"`old` does not occur in {edit.file}: it must be the exact text.", _READ_AGAIN)
    raise HarnessError(
        f"`old` occurs {found} times in {edit.file}, on lines {_places(text, old)}.",
        f"{_NOTHING} Give more of the text around the one that you mean.",
    )


def _places(text: str, old: str) -> str:
    lines: list[str] = []
    start = text.find(old)
    while start >= 0 and len(lines) < _PLACES_SHOWN:
        lines.append(str(_line_at(text, start)))
        start = text.find(old, start + len(old))
    return ", ".join(lines) + (" ..." if start >= 0 else "")


def _line_at(text: str, place: int) -> int:
    return sum(1 for _ in io.StringIO(text[: place + 1], newline=""))


def _with_ends_of(text: str, part: str) -> str:
    """Write the line ends as the file does: a client is shown plain ones."""
    return part.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in text else part


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _decoded(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise HarnessError(
            f"{name} is no UTF-8 text (byte {error.start}).",
            f"It can be replaced or removed as version {_version(data)}, not read.",
        ) from error


def _encoded(name: str, text: str) -> bytes:
    if "\0" in text:
        raise HarnessError(f"The text for {name} holds a NUL.", f"{_NOTHING} Leave it out.")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise HarnessError(f"The text for {name} is no valid Unicode.", f"{_NOTHING} Correct it.") from error
