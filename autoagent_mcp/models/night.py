"""What became of a night: every start of the client, and why it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import computed_field

from autoagent_mcp.models.base import Frozen

Ending = Literal["stopped", "crashed", "limited", "ended"]
"""By itself with status 0, by itself with another one, at its provider's rate limit, or by us."""


class Spend(Frozen):
    """What a client says that it used itself; None where it does not say."""

    cost_usd: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class Session(Frozen):
    """One start of the client."""

    n: int
    began_at: datetime
    ended_at: datetime | None = None
    ending: Ending | None = None
    """None while it goes on."""
    exit_code: int | None = None
    experiments: int | None = None
    """How many the workspace had when it ended; None where no server told."""
    spend: Spend = Spend()
    log: str
    """Its output, beside this file."""


class Night(Frozen):
    """`.autoagent/night/<time>/night.json`, written whole whenever something changes."""

    version: Literal[1] = 1
    client: str
    """The template's name, or empty for a command of one's own."""
    meta_model: str
    """The meta-agent's model where it was declared."""
    command: tuple[str, ...]
    """With {brief} where the prompt stands."""
    began_at: datetime
    until: datetime | None
    """When it ends at the latest."""
    ended_at: datetime | None = None
    why: str = ""
    """Why it ended, as a sentence."""
    experiments: int = 0
    """How many the workspace had before."""
    sessions: tuple[Session, ...] = ()

    @computed_field
    @property
    def self_stops(self) -> int:
        """How often the client stopped by itself, with work left."""
        return sum(1 for session in self.sessions if session.ending == "stopped")

    @computed_field
    @property
    def client_cost_usd(self) -> float | None:
        """What the sessions that told their cost cost together; None where none did."""
        told = [session.spend.cost_usd for session in self.sessions if session.spend.cost_usd is not None]
        return sum(told) if told else None
