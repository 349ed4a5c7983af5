"""The gateway: a server on a loopback port, the only thing that a harness can reach.

It lives in the server's own event loop. Each trial opens a session and hands the session's token to its harness; a
verifier that asks a model gets a session of its own, for the judge's model.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import pydantic_core
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from autoagent_mcp._web import listen, serving
from autoagent_mcp.config import ModelSettings, Spending
from autoagent_mcp.errors import GatewayError
from autoagent_mcp.gateway.api import RefusedError
from autoagent_mcp.gateway.backoff import Backoff
from autoagent_mcp.gateway.calls import ModelCalls
from autoagent_mcp.gateway.chat import ChatApi, openai_error
from autoagent_mcp.gateway.door import token_of
from autoagent_mcp.gateway.environment import Commands, Downloads, Uploads
from autoagent_mcp.gateway.messages import MessagesApi
from autoagent_mcp.gateway.meter import Meter
from autoagent_mcp.gateway.pinned import PinnedModel, open_model
from autoagent_mcp.gateway.recorder import CALLS_LIMIT_BYTES, Recorder
from autoagent_mcp.gateway.responses import ResponsesApi
from autoagent_mcp.gateway.role import AGENT, JUDGE, OUTSIDER
from autoagent_mcp.gateway.session import Session
from autoagent_mcp.models.trial import TrialFiles
from autoagent_mcp.sandbox.base import Sandbox
from autoagent_mcp.task.canary import Canaries

_HOST = "127.0.0.1"
_PLACE_PARTS = 4


class Gateway:
    """The running gateway."""

    def __init__(self, model: PinnedModel, judge: PinnedModel | None, canaries: Canaries | None) -> None:
        self.port = 0
        self._model = model
        self._judge = judge
        self._canaries = canaries
        self._sessions: dict[str, Session] = {}
        apis = (ChatApi(), ResponsesApi(), MessagesApi())
        models = [Route(api.path, ModelCalls(self._sessions, api), methods=["POST"]) for api in apis]
        environment = [
            Route("/environment/exec", Commands(self._sessions), methods=["POST"]),
            Route("/environment/upload", Uploads(self._sessions), methods=["PUT"]),
            Route("/environment/download", Downloads(self._sessions), methods=["GET"]),
        ]
        unknown = _unknown(self._sessions, _listed(models), _listed(environment))
        self.app = Starlette(routes=[*models, *environment], exception_handlers={404: unknown, 405: unknown})

    def session(
        self, files: TrialFiles, sandbox: Sandbox, limits: Spending, meter: Meter | None = None
    ) -> AbstractAsyncContextManager[Session]:
        """Open a trial's door; when the context is left its token is dead and its calls under way are cancelled.

        Args:
            files: Where model calls and commands are recorded; the folder exists.
            sandbox: Where the harness's commands run.
            limits: What the trial may spend.
            meter: Counts its calls too, while they are under way; None where nobody asks.

        Raises:
            OSError: On leaving: the record could not be written.
        """
        recorder = Recorder(files.model_calls, files.execs, self._model.upstream.key)
        place, canaries = _place(files), self._canaries
        return self._open(
            Session(AGENT, self._model, limits, recorder, place=place, meter=meter, sandbox=sandbox, canaries=canaries)
        )

    def judge_session(
        self, files: TrialFiles, limits: Spending, meter: Meter | None = None
    ) -> AbstractAsyncContextManager[Session]:
        """Open a verification's door to the judge's model; else as `session`.

        Raises:
            GatewayError: No judge is served.
            OSError: On leaving: the record could not be written.
        """
        if self._judge is None:
            raise GatewayError("No model is set for verifiers to ask.", "Add [judge] to autoagent.toml.")
        recorder = Recorder(files.judge_calls, files.execs, self._judge.upstream.key)
        return self._open(Session(JUDGE, self._judge, limits, recorder, place=_place(files), meter=meter))

    def outside_session(self, files: TrialFiles, limits: Spending, trials: int) -> AbstractAsyncContextManager[Session]:
        """Open a door for another tool's run of so many trials; else as `session`.

        Raises:
            OSError: On leaving: the record could not be written.
        """
        recorder = Recorder(files.model_calls, files.execs, self._model.upstream.key, trials * CALLS_LIMIT_BYTES)
        return self._open(Session(OUTSIDER, self._model, limits.times(trials), recorder, place=_place(files)))

    def most_usd(self, limits: Spending) -> float | None:
        """Return what a trial within these limits can cost; None where the model's price is not known."""
        return self._model.most_usd(limits)

    def most_usd_of_judge(self, limits: Spending) -> float | None:
        """Return the same of a verification; of one that has no judge to ask 0."""
        return self._judge.most_usd(limits) if self._judge else 0.0

    @asynccontextmanager
    async def _open(self, session: Session) -> AsyncGenerator[Session]:
        self._sessions[session.token] = session
        try:
            yield session
        finally:
            await session.close()
            del self._sessions[session.token]
        if session.recorder.failure:
            raise session.recorder.failure


@asynccontextmanager
async def serve(
    model: ModelSettings,
    *,
    judge: ModelSettings | None = None,
    canaries: Canaries | None = None,
    port: int = 0,
    upstream_url: str | None = None,
    backoff: Backoff | None = None,
) -> AsyncGenerator[Gateway]:
    """Run the gateway until the context is left.

    Args:
        model: The pinned model of the task agent.
        judge: The pinned model that verifiers ask, where there is one.
        canaries: The tokens that no trial may send to its model; None where none were planted.
        port: Where to listen; 0 takes a free one.
        upstream_url: The base URL of the task agent's provider, instead of the one that `model` implies; it ends
            before `/chat/completions`, `/responses` or `/messages`.
        backoff: How patient to be with each provider.

    Raises:
        GatewayError: The key or the address of a provider is missing, the local model does not start, or the port is
            taken.
    """
    patience = backoff or Backoff()
    async with AsyncExitStack() as stack:
        local_url: str | None = None
        if (judge and judge.provider == "local") or (model.provider == "local" and upstream_url is None):
            from autoagent_mcp.gateway import local_model  # noqa: PLC0415 - loaded only where it is used

            local_url = await stack.enter_async_context(local_model.serve())
        gateway = Gateway(
            await stack.enter_async_context(open_model(model, upstream_url or _at(model, local_url), patience)),
            await stack.enter_async_context(open_model(judge, _at(judge, local_url), patience)) if judge else None,
            canaries,
        )
        await stack.enter_async_context(_serving(gateway, port))
        yield gateway


def _place(files: TrialFiles) -> str:
    """Name a session by the end of its folder, which is long enough to hold the run, the trial and a step."""
    return "/".join(files.folder.parts[-_PLACE_PARTS:])


def _at(model: ModelSettings, local_url: str | None) -> str | None:
    return local_url if model.provider == "local" else None


@asynccontextmanager
async def _serving(gateway: Gateway, port: int) -> AsyncGenerator[None]:
    """Serve the gateway's app on a loopback port."""
    try:
        listener = listen(_HOST, port)
    except OSError as error:
        hint = "Choose another port." if port else "Allow loopback connections."
        raise GatewayError(f"No server can listen on {_HOST}:{port}: {error}.", hint) from error
    gateway.port = listener.getsockname()[1]
    async with serving(gateway.app, listener):
        yield


def _listed(routes: Sequence[Route]) -> tuple[str, ...]:
    return tuple(f"{'/'.join(sorted((route.methods or set()) - {'HEAD'}))} {route.path}" for route in routes)


def _unknown(
    sessions: Mapping[str, Session], models: tuple[str, ...], environment: tuple[str, ...]
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Answer what no route takes with those that are open to the caller: commands and files where it has a sandbox."""

    async def answer(request: Request, _error: Exception) -> Response:
        session = sessions.get(token_of(request.headers))
        offered = ", ".join(models + environment if session and session.sandbox else models)
        message = f"{request.method} {request.url.path[:200]} is not allowed by autoagent-mcp; there are {offered}"
        if session:
            session.refuse(RefusedError(404, "unknown_route", message))
        return Response(
            pydantic_core.to_json(openai_error("unknown_route", message, 404)), 404, None, "application/json"
        )

    return answer
