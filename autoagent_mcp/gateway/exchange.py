"""One model call: sent, passed on, recorded, however it ends."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone
from http import HTTPStatus

import httpx2
import pydantic_core

from autoagent_mcp.gateway.api import Api, Assembler, JsonObject, RefusedError, Tokens, as_object
from autoagent_mcp.gateway.door import Reply
from autoagent_mcp.gateway.session import Session
from autoagent_mcp.gateway.upstream import GarbledError, ProviderDownError, read_some
from autoagent_mcp.models.records import ModelRequest, ModelResponse
from autoagent_mcp.models.trial import Failure, Usage

_ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
_ERROR_LIMIT_BYTES = 64 * 1024
_BYTES_PER_TOKEN = 4
_QUOTE_CHARS = 300


def encoded(value: object) -> bytes:
    """Write JSON."""
    return pydantic_core.to_json(value)


@dataclasses.dataclass
class _Answer:
    """What has come back so far."""

    status: int | None = None
    body: JsonObject | None = None
    assembler: Assembler | None = None
    is_complete: bool = False
    is_refused: bool = False
    """Nothing was generated, so nothing is to be paid: the provider refused the call, or is down."""
    error: str = ""
    received_bytes: int = 0


class Exchange:
    """One call that has been let in.

    Args:
        api: The API it speaks.
        session: Whose it is.
        body: What is sent, checked and pinned.
        share: What the budget has set aside for it.
    """

    def __init__(self, *, api: Api, session: Session, body: JsonObject, share: Tokens) -> None:
        self._api = api
        self._upstream = session.model.upstream
        self._price = session.model.price
        self._session = session
        self._body = body
        self._share = share
        tokens = {"prompt_tokens": share.prompt, "completion_tokens": share.completion}
        self._reserved = Usage(model_calls=1, **tokens, cost_usd=session.model.price(share))
        self._number = session.budget.calls
        self._shows_usage = api.ask_for_usage(body)
        self._answer = _Answer()

    async def run(self, reply: Reply) -> None:
        """Make the exchange; what came of it is on disk when this ends, also when it is cancelled.

        Raises:
            RefusedError: The provider is down, or the call could not be recorded.
        """
        answer = self._answer
        read = self._pass_events_on if self._body.get("stream") else self._pass_whole_on
        self._session.meter.set_aside(self._reserved)
        try:
            self._session.recorder.request(
                ModelRequest(call=self._number, api=self._api.name, at=_now(), body=self._body, reserved=self._reserved)
            )
            await self._upstream.ask(self._api, encoded(self._body), lambda response: read(response, reply))
        except ProviderDownError as error:
            answer.is_refused, answer.error = True, str(error)
            raise self._provider_failed(str(error)) from error
        except RefusedError as error:
            answer.is_refused, answer.error = True, error.message
            raise
        finally:
            self._close_books()

    async def _pass_whole_on(self, response: httpx2.Response, reply: Reply) -> None:
        """Pass on an answer that is not a stream, or the provider's refusal."""
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            await self._pass_refusal_on(response, reply)
            return
        data = await read_some(response, _ANSWER_LIMIT_BYTES)
        body = _object(data)
        if problem := self._api.problem(body):
            raise GarbledError(problem)
        if not self._api.is_answer(body):
            raise GarbledError(f"the provider's answer is not one of this API: {data[:200]!r}")
        answer = self._answer
        answer.status, answer.body, answer.is_complete = response.status_code, body, True
        answer.received_bytes = len(data)
        await reply.whole(response.status_code, self._upstream.scrubbed_bytes(data))

    async def _pass_refusal_on(self, response: httpx2.Response, reply: Reply) -> None:
        """Pass on why the provider refused the request: the harness can mend it."""
        answer = self._answer
        data = self._upstream.scrubbed_bytes(await read_some(response, _ERROR_LIMIT_BYTES))
        body = _object(data)
        if not body:
            text = f"the provider refused the request: {data[:500].decode(errors='replace')}"
            body = self._api.error("provider_refused", text, response.status_code)
        answer.status, answer.body, answer.is_complete = response.status_code, body, True
        answer.is_refused, answer.error = True, f"HTTP {response.status_code}"
        self._session.rejection = f"HTTP {response.status_code}: {encoded(body).decode()[:_QUOTE_CHARS]}"
        await reply.whole(response.status_code, encoded(body))

    async def _pass_events_on(self, response: httpx2.Response, reply: Reply) -> None:
        """Pass on a stream, event by event, as they come."""
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            await self._pass_refusal_on(response, reply)
            return
        problem = ""
        self._answer.status = response.status_code
        try:
            problem = await self._pump(response, reply)
        except (httpx2.HTTPError, httpx2.StreamError, GarbledError) as error:
            if not reply.is_streaming:
                raise
            problem = self._upstream.scrubbed(f"the provider's stream broke off: {type(error).__name__}: {error}")
            name, event = self._api.error_event("provider_down", problem)
            await reply.event(name, encoded(event).decode())
        if problem:
            self._answer.is_complete, self._answer.error = False, problem
            self._provider_failed(problem)
        await reply.end()

    async def _pump(self, response: httpx2.Response, reply: Reply) -> str:
        """Pass events on until the stream ends; return the error that the provider itself reported."""
        answer, assembler, is_done = self._answer, self._api.assembler(), False
        answer.assembler = assembler
        async for sent in httpx2.EventSource(response, _ANSWER_LIMIT_BYTES):
            if sent.data == "[DONE]":
                is_done = reply.is_streaming
            else:
                event = _object(sent.data.encode())
                problem = self._api.problem(event)
                if not event or (problem and not reply.is_streaming):
                    raise GarbledError(problem or f"an event is no JSON object: {sent.data[:200]!r}")
                assembler.add(event)
                answer.is_complete = assembler.is_complete
                answer.received_bytes += len(sent.data)
                if answer.received_bytes > _ANSWER_LIMIT_BYTES:
                    raise GarbledError(f"the answer is longer than {_ANSWER_LIMIT_BYTES} bytes")
                if problem:
                    await reply.event(sent.event, self._upstream.scrubbed(sent.data))
                    return problem
                if self._api.is_only_usage(event) and not self._shows_usage:
                    continue
            await reply.event(sent.event, self._upstream.scrubbed(sent.data))
        answer.is_complete = answer.is_complete or is_done
        if not answer.is_complete:
            raise GarbledError("the stream ended before the answer did")
        return ""

    def _provider_failed(self, problem: str) -> RefusedError:
        self._session.fail(Failure(cause=self._session.role.provider_down, detail=problem))
        return RefusedError(503, "provider_down", f"the model provider is down: {problem}")

    def _close_books(self) -> None:
        """Settle with the budget and write the response; must not wait, since the call may have been cancelled."""
        answer, session = self._answer, self._session
        if answer.assembler and answer.received_bytes:
            answer.body = answer.assembler.whole()
        if answer.is_complete and not answer.is_refused:
            session.rejection = ""
        spent = self._spent()
        usage = Usage(
            model_calls=1,
            prompt_tokens=spent.prompt,
            completion_tokens=spent.completion,
            cached_tokens=spent.cached,
            cost_usd=0.0 if answer.is_refused else self._price(spent),
        )
        session.budget.settle(self._share, spent, usage.cost_usd)
        session.meter.settle(self._reserved, usage)
        session.usage += usage
        session.own_ids |= self._api.made_ids(answer.body or {})
        if usage.cost_usd is None:
            session.notice(
                "The price of the pinned model is not known: costs are unknown and the cost limit is not kept."
            )
        session.recorder.response(
            ModelResponse(
                call=self._number,
                at=_now(),
                status=answer.status,
                body=answer.body,
                complete=answer.is_complete,
                error=answer.error,
                usage=usage,
            )
        )

    def _spent(self) -> Tokens:
        """Return what the call took: as reported, or guessed from the text where a call was cut off before that."""
        answer = self._answer
        if answer.is_refused:
            return Tokens()
        reported = self._api.tokens(answer.body or {})
        if answer.is_complete and reported:
            return reported
        if answer.is_complete:
            self._session.notice("The provider did not say what some calls took: their tokens are guessed.")
        else:
            answer.error = f"{answer.error or 'the call was cut off'} (tokens are guessed)"
        guess = Tokens(self._share.prompt, answer.received_bytes // _BYTES_PER_TOKEN)
        known = reported or Tokens()
        return known._replace(prompt=known.prompt or guess.prompt, completion=max(known.completion, guess.completion))


def _object(data: bytes) -> JsonObject:
    """Read a JSON object; an empty one where the provider sent something else."""
    try:
        return as_object(pydantic_core.from_json(data, allow_inf_nan=False))
    except ValueError:
        return {}


def _now() -> datetime:
    return datetime.now(timezone.utc)
