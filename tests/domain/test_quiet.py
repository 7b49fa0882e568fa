"""Quiet hours: 21:00 to 08:00 at the customer's own wall clock, whatever daylight saving does. SPEC 11."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.domain.quiet import is_quiet, next_allowed
from tests.builders import at

SECOND = timedelta(seconds=1)
ZONES = sorted(available_timezones())
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("zone", "planned", "sent"),
    [
        # Jakarta is UTC+7 all year
        ("Asia/Jakarta", "2026-03-05T13:59:59", "2026-03-05T13:59:59"),  # 20:59:59: still allowed
        ("Asia/Jakarta", "2026-03-05T14:00:00", "2026-03-06T01:00:00"),  # 21:00: the next morning
        ("Asia/Jakarta", "2026-03-05T17:30:00", "2026-03-06T01:00:00"),  # 00:30: the same day's morning
        ("Asia/Jakarta", "2026-03-06T00:59:59", "2026-03-06T01:00:00"),  # 07:59:59
        ("Asia/Jakarta", "2026-03-06T01:00:00", "2026-03-06T01:00:00"),  # 08:00: allowed
        # New York: clocks go from 02:00 EST to 03:00 EDT on 2026-03-08, and back on 2026-11-01
        ("America/New_York", "2026-03-08T03:00:00", "2026-03-08T12:00:00"),  # 22:00 EST -> 08:00 EDT
        ("America/New_York", "2026-11-01T02:00:00", "2026-11-01T13:00:00"),  # 22:00 EDT -> 08:00 EST
        ("America/New_York", "2026-11-01T05:30:00", "2026-11-01T13:00:00"),  # 01:30, the first of two
        ("America/New_York", "2026-11-01T06:30:00", "2026-11-01T13:00:00"),  # 01:30, the second
        # Nepal is UTC+5:45
        ("Asia/Kathmandu", "2026-06-01T15:15:00", "2026-06-02T02:15:00"),
    ],
)
def test_a_notice_in_quiet_hours_waits_for_eight_in_the_morning(zone: str, planned: str, sent: str) -> None:
    assert next_allowed(at(planned), zone) == at(sent)


@pytest.mark.parametrize(
    ("zone", "planned", "sent"),
    [
        ("Asia/Jakarta", "2026-03-05T17:30:00", "2026-03-05T13:59:59"),  # 00:30 -> the evening before
        ("Asia/Jakarta", "2026-03-05T14:00:00", "2026-03-05T13:59:59"),  # 21:00
        ("Asia/Jakarta", "2026-03-05T13:00:00", "2026-03-05T13:00:00"),  # 20:00: allowed as it is
        ("America/New_York", "2026-03-08T11:30:00", "2026-03-08T01:59:59"),  # 07:30 EDT -> 20:59:59 EST
    ],
)
def test_a_reminder_moves_to_the_end_of_the_evening_before(zone: str, planned: str, sent: str) -> None:
    assert next_allowed(at(planned), zone, earlier=True) == at(sent)


@given(instant=INSTANTS, zone=st.sampled_from(ZONES))
def test_in_every_zone_a_notice_leaves_at_the_first_moment_that_is_not_quiet(instant: datetime, zone: str) -> None:
    moved = next_allowed(instant, zone)

    assert not is_quiet(moved, zone)
    if moved == instant:
        return
    assert is_quiet(instant, zone)
    assert instant < moved <= instant + timedelta(hours=12)  # 11 hours, and one more where clocks go back
    assert moved.astimezone(ZoneInfo(zone)).strftime("%H:%M:%S") == "08:00:00"
    assert is_quiet(moved - SECOND, zone)


@given(instant=INSTANTS, zone=st.sampled_from(ZONES))
def test_in_every_zone_a_reminder_leaves_at_the_last_second_that_is_not_quiet(instant: datetime, zone: str) -> None:
    moved = next_allowed(instant, zone, earlier=True)

    assert not is_quiet(moved, zone)
    if moved == instant:
        return
    assert instant - timedelta(hours=12) - SECOND <= moved < instant
    assert moved.astimezone(ZoneInfo(zone)).strftime("%H:%M:%S") == "20:59:59"
    assert is_quiet(moved + SECOND, zone)


@given(instant=INSTANTS, zone=st.sampled_from(ZONES), earlier=st.booleans())
def test_moving_twice_is_moving_once(instant: datetime, zone: str, earlier: bool) -> None:
    once = next_allowed(instant, zone, earlier=earlier)

    assert next_allowed(once, zone, earlier=earlier) == once
