"""The routes that lead to the model."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request

from autoagent_mcp.config import ModelSettings
from autoagent_mcp.gateway.api import Api, JsonObject, RefusedError
from autoagent_mcp.gateway.budget import OutOfBudgetError
from autoagent_mcp.gateway.door import Endpoint, Reply
from autoagent_mcp.gateway.exchange import Exchange, encoded
from autoagent_mcp.gateway.seeds import seed_of_call
from autoagent_mcp.gateway.session import Session
from autoagent_mcp.gateway.upstream import PROVIDERS

BODY_LIMIT_BYTES = 20 * 1024 * 1024
_REFUSED_HEADERS = ("anthropic-beta", "openai-beta")


class ModelCalls(Endpoint):
    """The route of one API."""

    body_limit_bytes = BODY_LIMIT_BYTES

    def __init__(self, sessions: Mapping[str, Session], api: Api) -> None:
        super().__init__(sessions)
        self._api = api

    def error(self, refused: RefusedError) -> JsonObject:
        """Write a refusal as the provider would."""
        return self._api.error(refused.code, refused.message, refused.status)

    async def cut_off(self, session: Session, reply: Reply) -> None:
        """End a stream in the middle with an error, so that the SDK raises."""
        if not reply.is_ended:
            name, event = self._api.error_event("trial_ended", session.ended().message)
            await reply.event(name, encoded(event).decode())
            await reply.end()

    async def work(self, session: Session, request: Request, raw: bytes, reply: Reply) -> None:
        """Check and pin a request, see whether the trial can pay for it, and make the exchange."""
        role, model = session.role, session.model.settings
        session.look_for_canaries(raw)
        _refuse_headers(request)
        self._refuse_other_provider(model)
        body, asked = self._api.read(raw)
        for sentence in self._api.pin(body, asked, model, role):
            session.notice(sentence)
        if self._api.own_ids(body) - session.own_ids:
            text = f"a response or reasoning item that {role.who} did not make is not allowed by autoagent-mcp"
            raise RefusedError(400, "id_not_allowed", text)
        if role.stays_down and session.failure and session.failure.cause is role.provider_down:
            raise RefusedError(503, "provider_down", f"the model provider is down: {session.failure.detail}")
        try:
            share = await session.budget.admit(self._api, body, raw)
        except OutOfBudgetError as error:
            session.fail(error.failure)
            raise
        self._give_seed(session, body)
        await Exchange(api=self._api, session=session, body=body, share=share).run(reply)

    def _give_seed(self, session: Session, body: JsonObject) -> None:
        model = session.model.settings
        if model.seed is None:
            return
        if model.provider in self._api.seed_providers:
            body["seed"] = seed_of_call(model.seed, session.place, session.budget.calls)
        else:
            session.notice(f"{self._api.path} takes no seed at the provider '{model.provider}': none is sent.")

    def _refuse_other_provider(self, model: ModelSettings) -> None:
        offered = PROVIDERS[model.provider].apis
        if not isinstance(self._api, offered):
            routes = " or ".join(api.path for api in offered)
            text = f"the model provider '{model.provider}' does not offer {self._api.path}; use {routes}"
            raise RefusedError(400, "api_not_offered", text)


def _refuse_headers(request: Request) -> None:
    for name in _REFUSED_HEADERS:
        if name in request.headers:
            raise RefusedError(400, "header_not_allowed", f"header '{name}' is not allowed by autoagent-mcp")
