"""A schedule of Omise's for the adapter's tests: a calendar, and the request that makes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dunning.domain.calendar import Calendar, open_calendar
from dunning.domain.terms import Contacts
from dunning.providers.following import PlanRequest
from tests.builders import at, subscription

NOW = at("2026-03-01T10:00:00Z")
FIRST = at("2026-03-05T02:00:00Z")
DAY = timedelta(days=1)


def calendar(**changes: Any) -> Calendar:
    given: dict[str, Any] = {
        "anchor_at": "2026-03-05T09:00:00+07:00", "interval": "MONTH", "interval_count": 1, **changes,
    }  # fmt: skip
    terms = subscription(schedule=given).terms().schedule
    return open_calendar(
        anchor_at=terms.anchor_at,
        interval=terms.interval,
        interval_count=terms.interval_count,
        on=terms.on,
        start_at=None,
        end_at=terms.end_at,
        total_cycles=terms.total_cycles,
        trial_ends_at=None,
        authorized_at=NOW,
        immediate=False,
    )


def request(customer: str = "cust_test_1", **changes: Any) -> PlanRequest:
    when = changes.pop("calendar", None) or calendar()
    given: dict[str, Any] = {
        "subscription": "ours-1",
        "account": "demo",
        "reference": "pl_1",
        "customer_reference": customer,
        "method_tokens": ("pm_1",),
        "terms": subscription(currency="IDR").terms(),
        "contacts": Contacts(id="cust-1"),
        "calendar": when,
        "first_due_at": when.due(1),
        "business_at": NOW,
        **changes,
    }
    return PlanRequest(**given)
