"""The cycles that are to open, by the calendar as it stands. Instants are by hand. SPEC 5."""

from __future__ import annotations

from typing import Any

from dunning.domain.occurrences import occurrences
from dunning.domain.state import State
from dunning.domain.tables import SubscriptionStatus
from tests.builders import ANCHOR, at, live


def state(**changes: Any) -> State:
    """Active since 5 March 13:10; nothing has been due yet."""
    return live(until="2026-03-04T00:00", **changes).state


def dues(found: State, count: int = 3) -> list[str]:
    return [f"{one.due_at:%m-%dT%H:%M}" for one in occurrences(found, count)]


def test_the_next_cycles_are_numbered_and_priced() -> None:
    found = occurrences(state(), 2)
    assert [(one.number, one.due_at) for one in found] == [(1, at(ANCHOR)), (2, at("2026-04-05T13:10"))]
    assert {(one.amount, one.currency, one.is_skipped) for one in found} == {(100_000, "IDR", False)}


def test_a_calendar_that_ends_has_no_more() -> None:
    schedule = {"anchor_at": ANCHOR, "interval": "MONTH", "total_cycles": 2}
    assert dues(state(schedule=schedule), 5) == ["03-05T13:10", "04-05T13:10"]


def test_before_the_authorisation_there_is_no_calendar() -> None:
    changes = {"payment_methods": [], "provider_options": {"country": "ID", "product_id": "pdt_1"}}
    assert occurrences(state(mandate="never", **changes), 3) == []


def test_what_is_skipped_says_why() -> None:
    skipped = occurrences(state(do=[{"at": "+1d", "action": "skip_cycle", "with": {"number": 2}}]), 2)
    assert [(one.is_skipped, one.because) for one in skipped] == [
        (False, "cycle 1 of the calendar"),
        (True, "it is to be skipped, by command"),
    ]
    paused = occurrences(state(do=[{"at": "+1d", "action": "pause", "with": {"until": "2026-04-01T00:00:00Z"}}]), 2)
    assert [one.because for one in paused] == ["the subscription is paused", "cycle 2 of the calendar"]


def test_what_is_over_or_canceled_has_none_but_what_is_committed() -> None:
    assert occurrences(state().but(status=SubscriptionStatus.INACTIVE), 3) == []
    canceled = state(schedule={"anchor_at": ANCHOR, "interval": "MONTH", "commitment_cycles": 2})
    assert dues(canceled.but(status=SubscriptionStatus.CANCELED), 5) == ["03-05T13:10", "04-05T13:10"]
