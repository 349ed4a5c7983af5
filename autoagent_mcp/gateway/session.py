"""A caller's door to the gateway: its token, what it has used, and what went wrong."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import contextmanager

import anyio

from autoagent_mcp.config import Spending
from autoagent_mcp.gateway.api import RefusedError
from autoagent_mcp.gateway.budget import Budget
from autoagent_mcp.gateway.meter import Meter
from autoagent_mcp.gateway.pinned import PinnedModel
from autoagent_mcp.gateway.recorder import Recorder
from autoagent_mcp.gateway.role import Role
from autoagent_mcp.models.trial import Failure, Usage
from autoagent_mcp.sandbox.base import Sandbox
from autoagent_mcp.task.canary import Canaries

_NOTICES_LIMIT = 20
_SENT_A_CANARY = (
    "A model request held a canary token, which stands only beside tests and solutions and in hidden tasks."
)


class Session:
    """What one trial, or one verification, does through the gateway."""

    def __init__(
        self,
        role: Role,
        model: PinnedModel,
        limits: Spending,
        recorder: Recorder,
        *,
        place: str,
        meter: Meter | None = None,
        sandbox: Sandbox | None = None,
        canaries: Canaries | None = None,
    ) -> None:
        self.token = secrets.token_urlsafe(32)
        self.role = role
        self.model = model
        self.place = place
        """Names its run and trial, wherever the workspace lies."""
        self.meter = meter or Meter()
        self.sandbox = sandbox
        """Where its commands run; None where it may run none."""
        self.user: str | int | None = None
        """Whose commands run that name nobody; None means the sandbox's own."""
        self.budget = Budget(limits, model.price, role)
        self.recorder = recorder
        self.carrying = anyio.Lock()
        """Held while a file is carried: one at a time, since each is in memory as a whole."""
        self.usage = Usage()
        self.commands = 0
        self.failure: Failure | None = None
        self.rejection = ""
        """Why the provider refused a call, where it has answered none since."""
        self.own_ids: set[str] = set()
        """Ids of responses and reasoning items that the provider keeps and that this session made."""
        self.cheats: tuple[str, ...] = ()
        """What shows that it has seen what it must not see; sentences without names."""
        self._canaries = canaries
        self._notices: list[str] = []
        self._calls: set[anyio.CancelScope] = set()
        self._idle = anyio.Event()
        self._is_open = True

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know: wishes overruled, requests refused; each once, the first twenty."""
        return tuple(self._notices)

    def notice(self, text: str) -> None:
        """Note something for people; control characters in it, which a harness may have chosen, are taken out."""
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
        if text not in self._notices and len(self._notices) < _NOTICES_LIMIT:
            self._notices.append(text)

    def fail(self, failure: Failure) -> None:
        """Note what went wrong; the first failure stands."""
        self.failure = self.failure or failure

    def look_for_canaries(self, request: bytes) -> None:
        """Note a request that holds a token of this workspace; a verifier's may, since tests may show themselves."""
        if self._canaries is not None and self._canaries.is_in_request(request):
            self.cheats = (_SENT_A_CANARY,)

    def refuse(self, refusal: RefusedError) -> None:
        """Note a call that was not allowed."""
        self.notice(f"Refused: {refusal.message}.")
        if self.role.refused:
            self.fail(Failure(cause=self.role.refused, detail=refusal.message))

    def ended(self) -> RefusedError:
        """Return what a call meets once the session has ended."""
        return RefusedError(401, "trial_ended", f"{self.role.who} has ended")

    @contextmanager
    def call(self) -> Generator[None]:
        """Run a call that is cancelled when the session ends.

        Raises:
            RefusedError: The session has ended.
        """
        if not self._is_open:
            raise self.ended()
        with anyio.CancelScope() as scope:
            self._calls.add(scope)
            try:
                yield
            finally:
                self._calls.discard(scope)
                if not self._calls:
                    self._idle.set()

    def begin_step(self, name: str, user: str | int | None) -> None:
        """Begin a step of the task: it stands in the records, and its commands run as `user` unless they name one."""
        self.recorder.step, self.user = name, user

    async def close(self) -> None:
        """Refuse later calls, cancel those under way and wait until each has written its record."""
        self._is_open = False
        await self.settle()

    async def settle(self) -> None:
        """Cancel the calls under way and wait until each has written its record."""
        with anyio.CancelScope(shield=True):
            while self._calls:
                self._idle = anyio.Event()
                for scope in self._calls:
                    scope.cancel()
                await self._idle.wait()
