"""`autoagent-mcp gateway`: the workspace's pinned model for runs by other tools, metered and recorded as for our own.

What it prints on stdout is one line for a shell to `eval`; all that is for people goes to stderr.
"""

from __future__ import annotations

import signal
import sys
from datetime import datetime, timezone
from pathlib import Path

import anyio

from autoagent_mcp import config as config_file
from autoagent_mcp import task as task_files
from autoagent_mcp._tasks import background_tasks
from autoagent_mcp.config import Config, Spending
from autoagent_mcp.errors import GatewayError
from autoagent_mcp.gateway.app import Gateway, serve
from autoagent_mcp.gateway.session import Session
from autoagent_mcp.gateway.variables import variables
from autoagent_mcp.models.trial import TrialFiles
from autoagent_mcp.workspace import Workspace


async def serve_outside(workspace: Workspace, *, port: int, out: Path | None, trials: int | None) -> None:
    """Serve the model on a loopback port until SIGINT or SIGTERM comes, then print what was used.

    Args:
        workspace: Whose autoagent.toml names the model and what a trial may spend.
        port: Where to listen; 0 takes a free one.
        out: Where calls are recorded; None means a new folder below the workspace's own.
        trials: For how many trials all calls together may spend; None means those of one suite run.

    Raises:
        GatewayError: The model cannot be served, or the calls cannot be recorded.
        ConfigError: autoagent.toml cannot be used.
    """
    settings = config_file.load(workspace.folder)
    count = trials or _trials_of_a_suite(workspace, settings)
    with anyio.CancelScope() as scope:
        async with background_tasks() as group:
            group.start_soon(_cancel_on_signal, scope)
            try:
                await _serve(settings, TrialFiles(folder=_made(out or _new_folder(workspace))), port, count)
            except OSError as error:
                raise GatewayError(f"The calls cannot be recorded: {error}.", "Choose another --out.") from error


async def _serve(settings: Config, files: TrialFiles, port: int, trials: int) -> None:
    model, limits, session = settings.model, settings.trial.times(trials), None
    try:
        async with (
            serve(model, port=port) as gateway,
            gateway.outside_session(files, settings.trial, trials) as session,
        ):
            _tell(f"Serving {model.provider}/{model.name}: at most {_limits_text(limits)}.")
            _tell(f"Recording to {files.model_calls}. SIGINT or SIGTERM ends it.")
            sys.stdout.write(_exports(gateway, session) + "\n")
            sys.stdout.flush()
            await anyio.sleep_forever()
    finally:
        if session is not None:
            _tell_end(session)


def _exports(gateway: Gateway, session: Session) -> str:
    return "export " + " ".join(f"{name}={value}" for name, value in variables(gateway.port, session.token).items())


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def _trials_of_a_suite(workspace: Workspace, settings: Config) -> int:
    folder = workspace.folder / settings.tasks_dir
    tasks = task_files.load_all(folder)[0] if folder.is_dir() else ()
    return max(1, len(tasks) * settings.run.attempts)


def _new_folder(workspace: Workspace) -> Path:
    return workspace.gateway / datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if TrialFiles(folder=folder).model_calls.exists():
        raise GatewayError(f"{folder} holds the calls of an earlier gateway.", "Choose another --out.")
    return folder


def _limits_text(limits: Spending) -> str:
    return f"{limits.max_turns} calls, {limits.max_tokens} tokens, ${limits.max_cost_usd:.2f}"


def _tell_end(session: Session) -> None:
    used = session.usage
    cost = "cost unknown" if used.cost_usd is None else f"${used.cost_usd:.4f}"
    for notice in session.notices:
        _tell(notice)
    _tell(f"{used.model_calls} calls, {used.prompt_tokens + used.completion_tokens} tokens, {cost}.")


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
