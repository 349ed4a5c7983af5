"""The bearer token that clients show: given by a person, or made once and kept for the workspace."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from autoagent_mcp._io import write_whole
from autoagent_mcp.errors import SetupError
from autoagent_mcp.workspace import Workspace, user_state

VARIABLE = "AUTOAGENT_HTTP_TOKEN"
"""The environment variable that a token may be given in."""

_FORM = re.compile(r"[A-Za-z0-9._~+/-]{32,512}=*")
"""RFC 6750, section 2.1, and long enough that nobody guesses it."""

_MAKE_ONE = "Make one with `openssl rand -hex 32`."


def given_token(file: Path | None) -> str | None:
    """Return the token of the file or of the environment, in this order; None where neither is given.

    Raises:
        SetupError: The file cannot be read, or what is given is no token.
    """
    # Taken out of the environment, so that git and what else the server starts does not inherit it.
    text, place = os.environ.pop(VARIABLE, None), VARIABLE
    if file is not None:
        text, place = _read(file), str(file)
    return None if text is None else _checked(text.strip(), place)


def kept_token(workspace: Workspace) -> tuple[str, Path]:
    """Return the workspace's own token and the file that it lies in; the first call makes it.

    Raises:
        SetupError: The user's state folder cannot be used, or the file holds no token.
    """
    path = user_state() / "http" / f"{workspace.id}.token"
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, f"{secrets.token_urlsafe(32)}\n")
        except OSError as error:
            hint = f"Make it writable, set XDG_STATE_HOME to a folder that is, or give a token in {VARIABLE}."
            raise SetupError(f"No token can be kept in {path.parent}: {error}.", hint) from error
    return _checked(_read(path).strip(), str(path)), path


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"The token cannot be read from {file}: {error}.", _MAKE_ONE) from error


def _checked(token: str, place: str) -> str:
    if _FORM.fullmatch(token) is None:
        problem = f"{place} holds no token: that is 32 to 512 letters, digits and any of . _ ~ + / - on one line."
        raise SetupError(problem, _MAKE_ONE)
    return token
