"""Calendars as texts, for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dunning.domain.calendar import Calendar, Interval, On, open_calendar


def at(text: str) -> datetime:
    """`2026-03-05T13:10` is UTC; an offset may follow."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def opened(anchor: str | datetime | None, interval: str = "MONTH", count: int = 1, **given: Any) -> Calendar:
    """A calendar authorised at its anchor unless told otherwise; instants as texts."""
    terms: dict[str, Any] = {"on": None, "start_at": None, "end_at": None, "total_cycles": None}
    terms |= {"trial_ends_at": None, "immediate": False, "authorized_at": anchor, **given}
    for name in ("start_at", "end_at", "trial_ends_at", "authorized_at"):
        terms[name] = at(terms[name]) if isinstance(terms[name], str) else terms[name]
    if terms["on"] is not None:
        terms["on"] = On.model_validate(terms["on"])
    anchor_at = at(anchor) if isinstance(anchor, str) else anchor
    return open_calendar(anchor_at=anchor_at, interval=Interval(interval), interval_count=count, **terms)


def dues(calendar: Calendar, first: int = 1, last: int = 5) -> list[str]:
    """Due instants as UTC texts; seconds only where there are any."""
    return [calendar.due(n).isoformat().removesuffix("+00:00").removesuffix(":00") for n in range(first, last + 1)]
