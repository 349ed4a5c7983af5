"""What a call costs, from a kept price list (`genai-prices`); nothing is fetched."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from autoagent_mcp.config import ModelSettings
from autoagent_mcp.gateway.api import Tokens

Price = Callable[[Tokens], float | None]
"""Returns US dollars; None where the price is not known."""


async def price_of(model: ModelSettings) -> Price:
    """Return what prices calls to the pinned model. The local model is free."""
    if model.provider == "local":
        return _free
    return await anyio.to_thread.run_sync(_listed, model)


def _free(_tokens: Tokens) -> float:
    return 0.0


def _listed(model: ModelSettings) -> Price:
    """Import the list here: it takes 0.3 s."""
    from genai_prices import Usage, calc_price  # noqa: PLC0415

    tier = {"service_tier": model.service_tier} if model.service_tier else None

    def price(tokens: Tokens) -> float | None:
        usage = Usage(
            input_tokens=tokens.prompt,
            output_tokens=tokens.completion,
            cache_read_tokens=tokens.cached,
            cache_write_tokens=tokens.cache_written,
        )
        try:
            if model.provider == "openai-compatible":
                found = calc_price(usage, model.name, provider_api_url=model.base_url, price_context=tier)
            else:
                found = calc_price(usage, model.name, provider_id=model.provider, price_context=tier)
        except (LookupError, ValueError):
            return None
        return float(found.total_price)

    return price
