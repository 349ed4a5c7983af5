"""`autoagent-mcp http`: one server for several clients, which may be on another machine or be another user.

All sessions share one lab, so that whoever calls sees the same run. Nothing but the server's address goes to stdout.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import anyio
from mcp.server.transport_security import TransportSecuritySettings

from autoagent_mcp._tasks import ending_signals
from autoagent_mcp._web import listen, serving
from autoagent_mcp.errors import SetupError
from autoagent_mcp.server import build_server, log_to_workspace
from autoagent_mcp.streamable_http.bearer import BearerOnly
from autoagent_mcp.streamable_http.patience import ImpatientProtocol
from autoagent_mcp.streamable_http.token import VARIABLE, given_token, kept_token
from autoagent_mcp.tools.boundary import Door
from autoagent_mcp.workspace import Workspace

_PATH = "/mcp"
_BODY_LIMIT_BYTES = 4 * 1024 * 1024
_MAX_SESSIONS = 128
_SESSION_IDLE_SEC = 1800.0
"""A session whose client was killed keeps its place for so long."""
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


async def serve_http(
    workspace: Workspace, *, host: str, port: int, token_file: Path | None, names: Sequence[str]
) -> None:
    """Serve MCP over streamable HTTP until SIGINT, SIGTERM or SIGHUP comes; then runs are stopped and recorded.

    Args:
        workspace: What is served.
        host: The address to listen on: an IP address, or localhost.
        port: Where to listen; 0 takes a free one.
        token_file: Where the token that clients must show stands; None takes the environment's, or the workspace's own.
        names: Hosts that clients may call the server by, besides `host` and loopback.

    Raises:
        SetupError: The address cannot be listened on, or is not loopback and no token is given, or the token is none.
    """
    address = _address(host)
    token, told = _token(workspace, address, token_file)
    with _listening(str(address), port) as listener:
        log_to_workspace(workspace)
        door = Door(workspace)
        server = build_server(workspace, door)
        app = server.streamable_http_app(
            streamable_http_path=_PATH,
            max_request_body_size=_BODY_LIMIT_BYTES,
            session_idle_timeout=_SESSION_IDLE_SEC,
            max_sessions=_MAX_SESSIONS,
            transport_security=_security((*_LOOPBACK, _in_url(address), *names)),
        )
        with anyio.open_signal_receiver(*ending_signals()) as signals:
            async with server.session_manager.run(), serving(BearerOnly(app, token), listener, ImpatientProtocol):
                sys.stderr.write(f"{told} SIGINT or SIGTERM ends it.\n")
                sys.stdout.write(f"http://{_in_url(address)}:{listener.getsockname()[1]}{_PATH}\n")
                sys.stdout.flush()
                await anext(signals)
                await door.close()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise SetupError(f"{host!r} is no address to listen on.", "Give an IP address, or localhost.") from error


def _token(
    workspace: Workspace, address: ipaddress.IPv4Address | ipaddress.IPv6Address, file: Path | None
) -> tuple[str, str]:
    """Return the token and what a person is told of it, which is never the token itself."""
    if token := given_token(file):
        return token, "Clients show the token that was given."
    if not address.is_loopback:
        problem = f"{address} can be reached by other machines, and no token was given."
        raise SetupError(problem, f"Give one in --token-file or {VARIABLE}, or listen on 127.0.0.1.")
    token, path = kept_token(workspace)
    return token, f"Clients show the token in {path}."


def _listening(address: str, port: int) -> socket.socket:
    try:
        return listen(address, port)
    except OSError as error:
        problem = f"No server can listen on {address} port {port}: {error.strerror}."
        raise SetupError(problem, "Choose another --port or --host, or end what listens there.") from error


def _security(hosts: Iterable[str]) -> TransportSecuritySettings:
    """Answer only what was sent to us by name: a web page whose name was made to lead here sends its own name."""
    places = [place for host in hosts for place in (host, f"{host}:*")]
    origins = [f"{scheme}://{place}" for scheme in ("http", "https") for place in places]
    return TransportSecuritySettings(allowed_hosts=places, allowed_origins=origins)


def _in_url(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - IPv6
