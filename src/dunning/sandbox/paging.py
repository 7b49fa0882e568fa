"""Pages and time filters of Dodo's lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Query

from dunning.sandbox.book import read_instant
from dunning.sandbox.errors import ApiError

Row = TypeVar("Row")


@dataclass(frozen=True)
class Page:
    """Which part of a list is wanted; pages count from 0."""

    number: int
    size: int
    created_gte: datetime | None
    created_lte: datetime | None

    @classmethod
    def from_query(
        cls,
        page_number: Annotated[int, Query(ge=0)] = 0,
        page_size: Annotated[int, Query(ge=1, le=100)] = 10,
        created_at_gte: str | None = None,
        created_at_lte: str | None = None,
    ) -> Page:
        """Read the query; raises INVALID_QUERY_PARAMS for instants without an offset."""
        return cls(page_number, page_size, _instant(created_at_gte), _instant(created_at_lte))


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    # A plus sign that was not percent-encoded arrives as a space.
    found = read_instant(text.replace(" ", "+"))
    if found is None:
        raise ApiError("INVALID_QUERY_PARAMS", f"{text} is not an instant with an offset.")
    return found


def created_between(created_at: datetime, page: Page) -> bool:
    """Whether an instant is within the filter; both ends count."""
    if page.created_gte is not None and created_at < page.created_gte:
        return False
    return page.created_lte is None or created_at <= page.created_lte


def page_of(rows: Sequence[Row], page: Page) -> Sequence[Row]:
    """The wanted part of a list."""
    start = page.number * page.size
    return rows[start : start + page.size]
