"""What no customer must ever meet, over random lives in which every occasion is configured. SPEC 11."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dunning.domain.announcing import REMINDER_BEFORE
from dunning.domain.attempts import OutcomeKind, Trigger
from dunning.domain.declines import DeclineClass
from dunning.domain.messages import NoticeStatus, PlannedNotice
from dunning.domain.preview import Foretold
from dunning.domain.quiet import is_quiet
from dunning.domain.tables import CycleStatus, SubscriptionStatus
from dunning.domain.terms import Occasion
from tests.builders import live, subscription_data
from tests.domain.test_machine_properties import ACTIONS, WORDS

ZONES = ["UTC", "Asia/Jakarta", "America/New_York", "Pacific/Auckland", "Asia/Kathmandu"]
EVERYTHING = {occasion.value: ["EMAIL", "WHATSAPP"] for occasion in Occasion}
PAID = (Occasion.SUCCEEDED, Occasion.RECOVERED, Occasion.CREATED)


@st.composite
def told_lives(draw: st.DrawFn) -> tuple[Foretold, str]:
    """A life, and its customer's zone."""
    zone = draw(st.sampled_from(ZONES))
    days = sorted(draw(st.lists(st.integers(1, 150), max_size=4)))
    do = []
    for day in days:
        action, fields = draw(ACTIONS)
        do.append({"at": f"+{day}d", "action": action, "with": fields})
    hour = draw(st.integers(0, 23))
    changes: dict[str, Any] = {
        "customer": {**subscription_data()["customer"], "time_zone": zone},
        "notifications": EVERYTHING,
        "schedule": {
            "anchor_at": f"2026-03-05T{hour:02d}:10:00Z",
            "interval": draw(st.sampled_from(["WEEK", "MONTH"])),
            "interval_count": draw(st.integers(1, 3)),
        },
        "payment_methods": [
            {"token": "pm_1", "authorized_at": "2026-03-01T13:10:00Z", "expires": draw(MONTHS)},
        ],
        "failed_cycle_action": draw(st.sampled_from(["STOP", "RESUME"])),
        "notice_before_charge_hours": draw(st.sampled_from([None, None, 24, 168])),
    }
    if draw(st.booleans()):
        changes |= {"grace_days": draw(st.integers(0, 10)), "hold_days": draw(st.integers(0, 40))}
    outcomes = draw(st.lists(st.sampled_from(WORDS), max_size=14))
    return live(*outcomes, do=do, cycles=6, until="2026-09-01T00:00:00Z", **changes), zone


MONTHS = st.sampled_from([None, "2026-04", "2026-06", "2027-01"])
common = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def sent(life: Foretold) -> list[PlannedNotice]:
    return [n for n in life.notices if n.status is NoticeStatus.SENT]


def day_of(notice: PlannedNotice, zone: str) -> date:
    return notice.at.astimezone(ZoneInfo(zone)).date()


@common
@given(told_lives())
def test_nobody_is_written_to_in_quiet_hours(given_life: tuple[Foretold, str]) -> None:
    life, zone = given_life
    for notice in sent(life):
        assert notice.is_precondition or not is_quiet(notice.at, zone), notice


@common
@given(told_lives())
def test_no_cap_is_ever_broken(given_life: tuple[Foretold, str]) -> None:
    life, zone = given_life
    days = sorted(day_of(n, zone) for n in sent(life) if not n.is_precondition)
    for day in days:
        assert days.count(day) == 1
        assert sum(day <= other <= day + timedelta(days=6) for other in days) <= 3


@common
@given(told_lives())
def test_nothing_is_said_that_is_untrue_when_it_is_said(given_life: tuple[Foretold, str]) -> None:
    life, _ = given_life
    for notice in sent(life):
        obligation = next((o for o in life.obligations if o.id == notice.obligation), None)
        announced = notice.facts.get("next_attempt_at")
        if notice.occasion is Occasion.RETRY_REMINDER:
            assert announced is not None
            assert notice.at <= datetime.fromisoformat(str(announced)) - REMINDER_BEFORE
        if obligation is None:
            continue
        paid_at = obligation.closed_at if obligation.status is CycleStatus.SUCCEEDED else None
        if paid_at is not None and notice.occasion not in PAID:
            assert notice.at <= paid_at, "told of a failure after it was paid"
        if obligation.status is CycleStatus.FAILED and obligation.closed_at is not None and announced:
            assert notice.at <= obligation.closed_at, "told of a next try after the last"


@common
@given(told_lives())
def test_thanks_follow_only_where_a_failure_was_told(given_life: tuple[Foretold, str]) -> None:
    life, _ = given_life
    for notice in sent(life):
        if notice.occasion is Occasion.RECOVERED:
            before = [n for n in sent(life) if n.obligation == notice.obligation and n.at <= notice.at]
            assert len(before) > 1


@common
@given(told_lives())
def test_a_charge_that_needs_a_notice_never_comes_before_it(given_life: tuple[Foretold, str]) -> None:
    life, _ = given_life
    hours = life.state.terms.notice_before_charge_hours
    if hours is None:
        return
    told = {str(n.facts["next_due_at"]): n for n in sent(life) if n.is_precondition}
    for obligation in life.obligations:
        firsts = [a for a in obligation.attempts if a.trigger.value == "due" and obligation.number is not None]
        for attempt in firsts:
            notice = told[obligation.due_at.isoformat()]
            assert notice.told_at is not None
            assert attempt.started_at is not None
            assert attempt.started_at >= notice.told_at + timedelta(hours=hours)


def said(life: Foretold) -> list[str]:
    """What was told, in order: `MM-DD occasion`."""
    return [f"{n.at:%m-%d} {n.occasion.value}" for n in sorted(sent(life), key=lambda n: n.at)]


NOON: dict[str, Any] = {"schedule": {"anchor_at": "2026-03-05T13:10:00Z", "interval": "MONTH", "interval_count": 1}}
SOFT = "INSUFFICIENT_FUNDS"


def test_what_each_life_is_told_written_out() -> None:
    """By hand: at most one a day and three in seven days; reminders 24 h, announcements 3 days before."""
    paid = live("SUCCEEDED", notifications=EVERYTHING, cycles=2, **NOON)
    assert said(paid) == [
        "03-01 created",  # at 00:00, so at 08:00
        "03-02 upcoming_charge",
        "03-05 succeeded",
        "04-02 upcoming_charge",
        "04-05 succeeded",
        "05-02 upcoming_charge",
    ]

    recovered = live(SOFT, SOFT, notifications=EVERYTHING, cycles=1, **NOON)
    assert said(recovered) == [
        "03-01 created",
        "03-02 upcoming_charge",
        "03-05 failed",
        # the reminder of 03-07 would be the fourth of 03-01..03-07: left out
        "03-08 failed",  # the third of 03-02..03-08
        "03-14 retry_reminder",
        "03-15 recovered",
        "04-02 upcoming_charge",
    ]

    stopped = live(*[SOFT] * 4, notifications=EVERYTHING, cycles=1, **NOON)
    assert said(stopped) == [
        *said(recovered)[:-2],
        "03-15 failed",
        "03-21 retry_reminder",
        "03-22 stopped",
    ]

    hard = live("STOLEN_CARD", notifications=EVERYTHING, cycles=1, **NOON)
    assert said(hard)[:3] == ["03-01 created", "03-02 upcoming_charge", "03-05 action_required"]
    assert said(hard)[3:] == ["03-22 stopped"]


def test_a_card_that_will_not_live_to_see_the_charge_is_told_30_and_7_days_before() -> None:
    method = {"token": "pm_1", "authorized_at": "2026-03-05T13:10:00Z", "expires": "2026-04"}
    schedule = {"anchor_at": "2026-03-05T13:10:00Z", "interval": "MONTH", "interval_count": 2}
    life = live("SUCCEEDED", notifications={"card_expiring": ["EMAIL"]}, payment_methods=[method], schedule=schedule)

    # Due on 05-05; the card lives to the end of April: 30 days before is 04-05, 7 days before 04-28.
    assert said(life) == ["04-05 card_expiring", "04-28 card_expiring"]
    assert {n.facts["expires"] for n in sent(life)} == {"2026-04"}


def test_a_new_card_takes_the_warning_back() -> None:
    method = {"token": "pm_1", "authorized_at": "2026-03-05T13:10:00Z", "expires": "2026-04"}
    schedule = {"anchor_at": "2026-03-05T13:10:00Z", "interval": "MONTH", "interval_count": 2}
    update = {"at": "+40d", "action": "update_payment_method", "with": {"token": "pm_2", "expires": "2030-01"}}
    life = live(
        "SUCCEEDED",
        notifications={"card_expiring": ["EMAIL"]}, payment_methods=[method], schedule=schedule, do=[update],
    )  # fmt: skip

    assert said(life) == ["04-05 card_expiring"]
    dropped = [n for n in life.notices if n.status is NoticeStatus.DROPPED]
    assert [n.outcome for n in dropped] == ["what it announces is not to come any more"]


def test_a_reminder_whose_last_hour_before_the_quiet_ones_is_over_goes_after_them() -> None:
    """The rung is at 02:10 in Auckland; at 21:10 on the evening before, only the morning is left for a reminder."""
    life = live(
        "DO_NOT_HONOR", "INSUFFICIENT_FUNDS",
        do=[{"at": "2026-03-07T08:10:00Z", "action": "update_payment_method", "with": {"token": "pm_2"}}],
        customer={**subscription_data()["customer"], "time_zone": "Pacific/Auckland"},
        notifications={"retry_reminder": ["EMAIL"]},
        schedule={"anchor_at": "2026-03-05T08:10:00Z", "interval": "MONTH", "interval_count": 1},
        payment_methods=[{"token": "pm_1", "authorized_at": "2026-03-01T13:10:00Z"}],
    )  # fmt: skip

    # 08:00 on the 8th is 19:00 UTC of the 7th (UTC+13); the rung follows at 03-08T13:10Z, which is 02:10 on the 9th.
    first = next(n for n in life.notices if n.occasion is Occasion.RETRY_REMINDER)
    assert first.at == datetime(2026, 3, 7, 19, 0, tzinfo=UTC)
    assert first.status is NoticeStatus.SENT


# --- none is missing: what each random life must have been told, written out from what happened ---------


TOLD_OF_FAILURE = (Occasion.FAILED, Occasion.RETRY_REMINDER, Occasion.ACTION_REQUIRED, Occasion.ON_HOLD)


def must_be_told(life: Foretold) -> list[tuple[str, Occasion]]:
    """(obligation, occasion) by the rules of SPEC 11, read off the attempts and statuses alone."""
    found: list[tuple[str, Occasion]] = []
    for obligation in life.obligations:
        is_paid = obligation.status is CycleStatus.SUCCEEDED
        declined = [a for a in obligation.attempts if a.outcome is not None and a.outcome.kind is OutcomeKind.DECLINED]
        for before, after in pairwise(obligation.attempts):
            klass = before.outcome.klass if before.outcome is not None else None
            if klass is DeclineClass.SOFT and after.trigger is Trigger.LADDER and after.retry_of is None:
                found.append((obligation.id, Occasion.FAILED))
            if klass is DeclineClass.HARD and after.trigger is Trigger.PAYMENT_METHOD_UPDATED:
                found.append((obligation.id, Occasion.ACTION_REQUIRED))
        if obligation.status is CycleStatus.FAILED and obligation.closed_at == life.state.stopped_at is not None:
            found.append((obligation.id, Occasion.STOPPED))
        if is_paid and not declined and obligation.past_due_since is None:
            found.append((obligation.id, Occasion.SUCCEEDED))
        told = [n for n in sent(life) if n.obligation == obligation.id and n.occasion in TOLD_OF_FAILURE]
        # What is paid after it was given up is a person's business: the subscription may be over.
        if (
            is_paid
            and not obligation.is_given_up
            and any(obligation.closed_at and n.at < obligation.closed_at for n in told)
        ):
            found.append((obligation.id, Occasion.RECOVERED))
    is_over = life.state.status in (SubscriptionStatus.CANCELED, SubscriptionStatus.INACTIVE)
    if is_over and life.state.cancel_type is not None:
        found.append(("", Occasion.CANCELED))
    return found


REASONS = (
    "paid in the meantime", "replaced:", "a later notice tells the same", "what it announces is not to come any more",
    "the customer gets at most", "nothing was told", "canceled by the",
)  # fmt: skip


@common
@given(told_lives())
def test_what_each_life_must_have_been_told_was_told_or_left_out_for_a_reason_of_the_rules(
    given_life: tuple[Foretold, str],
) -> None:
    life, _ = given_life
    known = {(n.obligation or "", n.occasion) for n in life.notices}
    assert set(must_be_told(life)) <= known

    for notice in life.notices:
        assert notice.status is not NoticeStatus.FAILED
        if notice.status is NoticeStatus.DROPPED:
            assert notice.outcome is not None
            # Or its cycle was closed for a reason of its own: paused, canceled, given up.
            closed = next((o.closed_because for o in life.obligations if o.id == notice.obligation), None)
            assert notice.outcome == closed or notice.outcome.startswith(REASONS), notice.outcome


@common
@given(told_lives())
def test_the_last_try_is_announced_as_the_last_and_no_other(given_life: tuple[Foretold, str]) -> None:
    life, _ = given_life
    for notice in sent(life):
        if notice.facts.get("stage") != "last":
            continue
        obligation = next(o for o in life.obligations if o.id == notice.obligation)
        later = [a for a in obligation.attempts if a.number > (notice.attempt or 0) and a.trigger is Trigger.LADDER]
        assert len([a for a in later if a.retry_of is None]) <= 1
