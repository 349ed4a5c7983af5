"""`autoagent-mcp view`: the page, live, until the person ends it. Nothing but its address goes to stdout."""

from __future__ import annotations

import secrets
import signal
import socket
import sys

import anyio

from autoagent_mcp._web import listen, serving
from autoagent_mcp.errors import SetupError
from autoagent_mcp.streamable_http.patience import ImpatientProtocol
from autoagent_mcp.view.live import Live
from autoagent_mcp.view.site import site
from autoagent_mcp.workspace import Workspace

_HOST = "127.0.0.1"


async def serve_view(workspace: Workspace, *, port: int) -> None:
    """Serve the page on loopback until SIGINT or SIGTERM comes; its address holds a token that was made for this time.

    Args:
        workspace: What is shown; nothing of it is changed.
        port: Where to listen; 0 takes a free one.

    Raises:
        SetupError: The port cannot be listened on.
    """
    token = secrets.token_urlsafe(32)
    app = site(Live(workspace), workspace.folder.name, token)
    with _listening(port) as listener, anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with serving(app, listener, ImpatientProtocol):
            sys.stderr.write("Open this address in a browser; Ctrl-C ends it.\n")
            sys.stdout.write(f"http://{_HOST}:{listener.getsockname()[1]}/{token}/\n")
            sys.stdout.flush()
            await anext(signals)


def _listening(port: int) -> socket.socket:
    try:
        return listen(_HOST, port)
    except OSError as error:
        problem = f"No server can listen on {_HOST} port {port}: {error.strerror}."
        raise SetupError(problem, "Choose another --port, or end what listens there.") from error
