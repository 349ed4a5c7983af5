"""What is known of the client that calls: its name, and for how long it lets a call go on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from autoagent_mcp import __version__
from autoagent_mcp.config import ServerSettings
from autoagent_mcp.models.author import Author
from autoagent_mcp.tools.boundary import ToolContext
from autoagent_mcp.tools.text import clip

META_MODEL_VARIABLE = "AUTOAGENT_META_MODEL"
"""Names the meta-agent's model, which no client tells."""
_NAME_CHARS = 80


class Patience(NamedTuple):
    """For how long a client lets a call wait."""

    usual_sec: float
    most_sec: float


UNKNOWN = Patience(45, 50)
"""The shortest limit known is 60 s; what comes before the wait needs some of it."""

PATIENCE: Mapping[str, Patience] = {
    # Cuts after 27.8 h, or 30 min without a word. Interactive sessions put a call into the background after 120 s.
    "claude-code": Patience(110, 1_500),
    # Cuts after 300 s, whatever progress it hears of.
    "codex-mcp-client": Patience(240, 280),
    # Cuts after 600 s, whatever progress it hears of.
    "gemini-cli-mcp-client": Patience(540, 570),
    # Cuts after 60 s without a word; each word of progress begins them anew.
    "opencode": Patience(45, 600),
    # The SDK for Python under its own name: cuts where its program says so, so a long wait is its program's wish.
    "mcp": Patience(45, 3_600),
}
"""By the name that a client calls itself, with its own defaults (measured in November 2026)."""


def author_of(ctx: ToolContext) -> Author:
    """Say who calls, as far as it tells."""
    params = ctx.session.client_params
    info = params.client_info if params is not None else None
    return Author(
        client=_word(info.name) if info else "",
        client_version=_word(info.version) if info else "",
        meta_model=_word(os.environ.get(META_MODEL_VARIABLE, "")),
        server_version=__version__,
    )


def _word(text: str) -> str:
    """Return a name on one line: it stands among the server's own words."""
    return " ".join(clip(text, _NAME_CHARS).split())


def patience_of(client: str, settings: ServerSettings) -> Patience:
    """Return for how long a client's calls wait, unless the settings say something else."""
    known = PATIENCE.get(client, UNKNOWN)
    usual_sec = known.usual_sec if settings.wait_sec is None else settings.wait_sec
    most_sec = max(known.most_sec, settings.wait_sec or 0) if settings.max_wait_sec is None else settings.max_wait_sec
    return Patience(min(usual_sec, most_sec), most_sec)
