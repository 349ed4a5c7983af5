"""A model that the gateway serves: its pins, the way to its provider and its price."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

from autoagent_mcp.config import ModelSettings, Spending
from autoagent_mcp.gateway.api import Tokens
from autoagent_mcp.gateway.backoff import Backoff
from autoagent_mcp.gateway.prices import Price, price_of
from autoagent_mcp.gateway.upstream import Upstream, connect


class PinnedModel(NamedTuple):
    """One of the gateway's models; nothing of it is shared with another."""

    settings: ModelSettings
    upstream: Upstream
    price: Price

    def most_usd(self, limits: Spending) -> float | None:
        """Return what calls within these limits can cost together; None where the price is not known."""
        prices = self.price(Tokens(prompt=limits.max_tokens)), self.price(Tokens(completion=limits.max_tokens))
        known = [price for price in prices if price is not None]
        return min(limits.max_cost_usd, max(known)) if known else None


@asynccontextmanager
async def open_model(settings: ModelSettings, base_url: str | None, backoff: Backoff) -> AsyncGenerator[PinnedModel]:
    """Open the way to a model until the context is left; `base_url` takes the place of the one in the settings.

    Raises:
        GatewayError: There is no key, or no address.
    """
    async with connect(settings, base_url, backoff) as upstream:
        yield PinnedModel(settings, upstream, await price_of(settings))
