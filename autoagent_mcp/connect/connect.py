"""Print a client's configuration, or write it into the client's own file, where all else stays as it is."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path
from typing import Any, cast

import tomli

from autoagent_mcp import _json_text
from autoagent_mcp import config as config_file
from autoagent_mcp._io import write_whole
from autoagent_mcp.connect import toml_text
from autoagent_mcp.connect.clients import CLIENTS, KEYS, NAME, Client, Entry
from autoagent_mcp.errors import ConfigError, SetupError, UnknownNameError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.workspace import Workspace


class Connection(Frozen):
    """A client's configuration."""

    file: Path
    is_written: bool
    """Whether the file was written; it is not where it has all of it already."""
    text: str
    """What belongs into the file for the server, with all that stands around it."""
    then: str
    """What to do next."""


def connect(workspace: Workspace, name: str, *, for_user: bool, is_write: bool) -> Connection:
    """Make, and on demand write, what a client needs to start the server on a workspace.

    Args:
        workspace: Its folder.
        name: Of the client, see `CLIENTS`.
        for_user: Whether it goes into the user's configuration instead of the project's.
        is_write: Whether to write it; a server of our name that stands there gets our settings and keeps its others.

    Raises:
        UnknownNameError: There is no such client.
        SetupError: The folder is no workspace, the command is not installed, or the file cannot be read or written.
        ConfigError: The client's file is not valid, or what stands in it is in the way; it is left as it is. Or
            autoagent.toml cannot be used.
    """
    if name not in CLIENTS:
        raise UnknownNameError("client", name, CLIENTS)
    if not workspace.agent.is_file():
        raise SetupError(
            f"There is no agent.py in {workspace.folder}.",
            f"Make a workspace of it (`autoagent-mcp init {workspace.folder}`), or name one with --workspace.",
        )
    client = CLIENTS[name]
    entry = client.entry([str(installed_command()), "--workspace", str(workspace.folder)], key_variables(workspace))
    is_users = for_user or client.project_file is None
    file = client.user_file() if is_users else workspace.folder / str(client.project_file)
    is_written = _write(file, client, entry) if is_write else False
    return Connection(file=file, is_written=is_written, text=_alone(file, client, entry), then=client.then)


def installed_command() -> Path:
    """Return the absolute path of this installation's `autoagent-mcp`.

    Raises:
        SetupError: It is not installed as a command, or only in the cache of `uvx`, which comes and goes.
    """
    path = Path(sysconfig.get_path("scripts")) / "autoagent-mcp"
    hint = "Install it, in its clone: `uv tool install .` or `pipx install .`; then call again."
    if not path.is_file():
        raise SetupError(f"There is no command {path}.", hint)
    if "archive-v0" in path.parts:
        raise SetupError(f"{path} lies in uv's cache, from which it may vanish.", hint)
    return path


def key_variables(workspace: Workspace) -> tuple[str, ...]:
    """Return the variables of the server's environment that may hold the keys of a workspace's models.

    Raises:
        ConfigError: autoagent.toml cannot be used.
    """
    settings = config_file.load(workspace.folder)
    named = (role.api_key_env for role in (settings.model, settings.judge) if role and role.api_key_env)
    return tuple(dict.fromkeys((*KEYS, *named)))


def _alone(file: Path, client: Client, entry: Entry) -> str:
    if file.suffix == ".toml":
        return toml_text.table((client.place, NAME), entry)
    return json.dumps({client.place: {NAME: entry}}, indent=2, ensure_ascii=False) + "\n"


def _write(file: Path, client: Client, entry: Entry) -> bool:
    try:
        old = file.read_bytes().decode() if file.exists() else ""
        put = _put_toml if file.suffix == ".toml" else _put_json
        new = put(old, (client.place, NAME), entry)
        data, target = new.encode(), file.resolve()  # people keep such files elsewhere and link to them
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}.", "Give yourself the right to read it.") from error
    except (ValueError, RuntimeError) as error:  # also: nested too deeply, or a link that leads to itself
        raise ConfigError(
            f"{file} was left as it is: {error}.", "Mend it, or put there what is printed without --write."
        ) from error
    if new == old:
        return False
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
        write_whole(target, data, mode=mode)
    except OSError as error:
        raise SetupError(
            f"{file} cannot be written: {error.strerror}.", "Give yourself the right to write it."
        ) from error
    return True


def _put_json(old: str, path: tuple[str, str], entry: Entry) -> str:
    root: Any = json.loads(old) if old.strip() else {}
    servers: Any = root.get(path[0]) if isinstance(root, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    known: Any = servers.get(path[1]) if isinstance(servers, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(known, dict):
        entry = _merged(cast("Entry", known), entry)
    return _json_text.put(old, path, entry)


def _merged(known: Entry, entry: Entry) -> Entry:
    """Return a person's entry with our settings; of the variables, theirs stay."""
    env = {"env": {**entry["env"], **known["env"]}} if isinstance(known.get("env"), dict) and "env" in entry else {}
    return {**known, **entry, **env}


def _put_toml(old: str, path: tuple[str, str], entry: Entry) -> str:
    try:
        return toml_text.put(old, path, entry)
    except tomli.TOMLDecodeError as error:
        raise ValueError(f"it is not valid TOML ({error})") from error
