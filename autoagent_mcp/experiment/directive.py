"""The goal as a person wrote it in program.md."""

from __future__ import annotations

import re

from autoagent_mcp.workspace import Workspace

_HEADING = re.compile(r"^#{1,6}[ \t]+(.+)$", re.MULTILINE)
_MOST_BYTES = 100_000


def directive(workspace: Workspace) -> str:
    """Return the text below program.md's heading "Directive", or below its first one; empty without any. Blocks."""
    try:
        with workspace.program.open("rb") as file:
            text = file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""
    parts = _HEADING.split(text)
    sections = list(zip(parts[1::2], parts[2::2], strict=True))
    named = [body for heading, body in sections if "directive" in heading.casefold()]
    written = (body.strip() for body in (*named, parts[0], *(body for _, body in sections)))
    return next((body for body in written if body), "")
