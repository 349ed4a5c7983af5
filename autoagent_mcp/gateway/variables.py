"""The environment variables by which any SDK finds the gateway."""

from __future__ import annotations


def variables(port: int, token: str) -> dict[str, str]:
    """Return the standard variables for who reaches the gateway, or a relay to it, at a port of its 127.0.0.1."""
    url = f"http://127.0.0.1:{port}"
    return {
        "OPENAI_BASE_URL": f"{url}/openai/v1",
        "OPENAI_API_KEY": token,
        "ANTHROPIC_BASE_URL": f"{url}/anthropic",
        "ANTHROPIC_API_KEY": token,
    }
