"""The harness's files, for clients that have no file tools of their own."""

from __future__ import annotations

import io
from typing import Annotated

from pydantic import Field

from autoagent_mcp.experiment.files import Edit, TextFile
from autoagent_mcp.experiment.lab import Lab
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.tools.boundary import ToolContext, lab_of, speaks_mcp
from autoagent_mcp.tools.text import clean, clip, size
from autoagent_mcp.tools.views import that_fit

PAGE_CHARS = 6_500
FILES_CHARS = 1_000
_TEXT_LIMIT_CHARS = 200_000
_UNSEEN = "Characters that cannot be seen were left out of `text`: an edit of such a line needs the whole file anew."
_CUT = "The line is longer than a page and was cut."
_FIXED = "From line {line} on agent.py belongs to the server and stays as it is."

Line = Annotated[int, Field(ge=1)]
Piece = Annotated[str, Field(max_length=_TEXT_LIMIT_CHARS)]


class FileView(Frozen):
    """A part of a file, by whole lines."""

    file: str
    text: str
    """As it stands in the file, without line numbers."""
    first_line: int
    last_line: int
    lines: int
    fixed_from_line: int | None
    """From this line on agent.py belongs to the server."""
    version: str
    files: tuple[str, ...]
    """What can be read; program.md is not to be edited."""
    note: str = ""
    next: str


class EditView(Frozen):
    """What became of an edit."""

    file: str
    changed: str
    version: str
    """Of the file as it is now; empty where it was removed."""
    next: str


@speaks_mcp
async def read_harness(ctx: ToolContext, file: str = "agent.py", line: Line = 1) -> FileView:
    """Read agent.py (the default), a file of .agent/ or program.md from `line` (default 1) on, about 150 lines a call.

    `text` is exactly what stands in the file, without line numbers. `fixed_from_line` says where the part of agent.py
    begins that stays as it is. Names all files that can be read.
    """
    return await file_view(await lab_of(ctx), file, line)


@speaks_mcp
async def edit_harness(
    ctx: ToolContext,
    file: str,
    *,
    old: Piece = "",
    new: Piece = "",
    content: Piece | None = None,
    version: str = "",
    delete: bool = False,
) -> EditView:
    """Edit agent.py above its fixed boundary, or a file of .agent/, where you have no file tools of your own.

    Either replace `old` by `new` (`old` is exact text that occurs once), or give the whole `content` (of agent.py the
    part above the boundary is enough), or `delete` a file of .agent/. For a file that is there already, `content` and
    `delete` need the `version` that read_harness told. At most 200000 characters. An edit after which agent.py could
    not be measured, or Python in .agent/ not be parsed, is refused with the reason and changes nothing. What is being
    measured is a snapshot: you may edit meanwhile.
    """
    lab = await lab_of(ctx)
    edit = Edit(file=file, old=old, new=new, content=content, version=version, delete=delete)
    now, line = await lab.edit_file(edit)
    name = clip(file, 300)
    if now is None:
        changed = f"{name} was removed."
    else:
        changed = f"{name} was changed from line {line} on." if old else f"{name} was written whole."
    return EditView(
        file=name,
        changed=changed,
        version=now.version if now else "",
        next="Call spot_check on a few tasks, or run_suite to measure it; revert_change takes it back.",
    )


async def file_view(lab: Lab, name: str, line: int) -> FileView:
    """Show a file from a line on. Raises: see `Lab.read_file`."""
    return _view(await lab.read_file(name), line)


def _view(file: TextFile, line: int) -> FileView:
    lines = list(io.StringIO(file.text, newline="")) or [""]  # as Python counts them
    first = min(line, len(lines))
    last = _last_line(lines, first)
    text = "".join(lines[first - 1 : last])
    notes = (
        _CUT if size(clean(text)) > PAGE_CHARS else "",
        _UNSEEN if clean(text) != text.replace("\r\n", "\n") else "",
        _FIXED.format(line=file.fixed_from_line) if file.fixed_from_line else "",
    )
    more = f'Call read_harness(file="{file.name}", line={last + 1}) for more.'
    return FileView(
        file=file.name,
        text=clip(text, PAGE_CHARS),
        first_line=first,
        last_line=last,
        lines=len(lines),
        fixed_from_line=file.fixed_from_line,
        version=file.version,
        files=that_fit(file.files, FILES_CHARS),
        note=" ".join(filter(None, notes)),
        next=more if last < len(lines) else "Edit it with your own tools or with edit_harness, then call spot_check.",
    )


def _last_line(lines: list[str], first: int) -> int:
    """Return the last line that there is room for, the first in any case."""
    left = PAGE_CHARS
    for number, text in enumerate(lines[first - 1 :], first):
        left -= size(text)
        if left < 0:
            return max(first, number - 1)
    return len(lines)
