"""What every value that crosses a border has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: it does not change once made, and refuses fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
