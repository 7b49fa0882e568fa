"""The one base of every value in the core."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """An immutable value: frozen, and closed against unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed. The caller vouches for the types; nothing is validated again."""
        return self.model_copy(update=changes)
