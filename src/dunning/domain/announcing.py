"""Notices that look ahead: they follow from the state, and go when the state no longer says so. SPEC 11.

`refresh` runs at the end of every step. It plans what the state calls for, moves what moved, and drops what became
untrue, with the reason; no other code has to think of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from dunning.domain import planning
from dunning.domain.attempts import Trigger
from dunning.domain.calendar import Interval
from dunning.domain.contact import slot
from dunning.domain.declines import DeclineClass, customer_reason
from dunning.domain.messages import NoticeStatus, PlannedNotice
from dunning.domain.plans import ItemStanding, PriceStanding
from dunning.domain.play_prices import NOTICE_DAYS
from dunning.domain.quiet import next_allowed
from dunning.domain.state import Obligation, State
from dunning.domain.step import Step
from dunning.domain.tables import SubscriptionStatus
from dunning.domain.terms import Channel, Occasion

REMINDER_BEFORE = timedelta(hours=24)
"""How long before a rung the customer is reminded. SPEC 11."""

CARD_EXPIRES_BEFORE = (timedelta(days=30), timedelta(days=7))
"""How long before a due instant that the card will not live to see the customer hears of it. SPEC 11."""

UPCOMING_BEFORE = timedelta(days=3)
UPCOMING_BEFORE_LONG_CYCLES = timedelta(days=7)
"""How long before a due instant a charge is announced; the second for cycles of six months and more. SPEC 11."""

LEAD = timedelta(hours=1)
"""A notice that a charge waits for is handed over this much before the last moment that would do."""

CONSENT = "consent"
"""The stage of a notice about a price that the customer has to agree to."""

AHEAD = frozenset({Occasion.RETRY_REMINDER, Occasion.CARD_EXPIRING, Occasion.UPCOMING_CHARGE, Occasion.PRICE_CHANGE})


class _Wanted(NamedTuple):
    """`may_be_late`: what it tells is still to come, so it helps also when its own instant has passed."""

    key: str
    occasion: Occasion
    channels: tuple[Channel, ...]
    at: datetime
    because: str
    facts: dict[str, str | int]
    obligation: str | None = None
    is_precondition: bool = False
    may_be_late: bool = False


def refresh(step: Step) -> None:
    """Bring the notices that look ahead in line with the state."""
    if AHEAD.isdisjoint(step.s.terms.notifications):
        return
    wanted = {one.key: one for one in _wanted(step.s)}
    for notice in step.s.notices:
        if notice.occasion not in AHEAD or notice.status is not NoticeStatus.PLANNED:
            continue
        now_wanted = wanted.get(notice.key)
        if now_wanted is None:
            step.change_notice(notice, status=NoticeStatus.DROPPED, outcome="what it announces is not to come any more")
        elif now_wanted.facts != notice.facts:
            step.change_notice(notice, facts=now_wanted.facts)
    known = {notice.key for notice in step.s.notices}
    for one in wanted.values():
        if one.key not in known:
            _plan(step, one)


def _plan(step: Step, one: _Wanted) -> None:
    """A notice whose instant has passed already is not planned: it would come too late to help."""
    if one.at <= step.now and not one.is_precondition and not one.may_be_late:
        return
    zone = step.s.terms.customer.time_zone or "UTC"
    wanted_at = max(one.at, step.now) if one.may_be_late else one.at
    free = slot(step.s.notices, one.occasion, one.channels, wanted_at, zone, is_exempt=one.is_precondition)
    if free.at < step.now and not one.is_precondition:
        # The last hour before the quiet ones is over: the first one after them is still before what is announced.
        free = slot(step.s.notices, one.occasion, one.channels, next_allowed(step.now, zone), zone)
    at = max(free.at, step.now)
    step.plan_notice(
        PlannedNotice(
            key=one.key,
            occasion=one.occasion,
            channels=one.channels,
            at=at,
            obligation=one.obligation,
            because=f"{one.because}; {free.because}" if free.because and not free.is_full else one.because,
            facts=one.facts,
            is_precondition=one.is_precondition,
            status=NoticeStatus.DROPPED if free.is_full else NoticeStatus.PLANNED,
            outcome=free.because if free.is_full else None,
        )
    )


def _wanted(state: State) -> Iterator[_Wanted]:
    for obligation in state.open_obligations:
        yield from _reminder(state, obligation)
        planned = obligation.next
        if planned is not None and planning.charge_at(state, obligation, planned) is None:
            yield from _upcoming(state, obligation.due_at)
    due = next_due(state)
    if due is not None:
        yield from _upcoming(state, due)
        yield from _expiring(state, due)
    yield from _prices(state)


def next_due(state: State) -> datetime | None:
    """When the next cycle will open by itself, as things stand; None when none will."""
    calendar, number = state.calendar, state.next_number
    if calendar is None or state.status is not SubscriptionStatus.ACTIVE or state.open_cycle is not None:
        return None
    while number in state.skips:
        number += 1
    due = calendar.due_if_any(number)
    return due + planning.spread(state) if due is not None else None


def _reminder(state: State, obligation: Obligation) -> Iterator[_Wanted]:
    channels = state.terms.notifications.get(Occasion.RETRY_REMINDER)
    planned = obligation.next
    if not channels or planned is None or planned.trigger not in (Trigger.LADDER, Trigger.PROVIDER):
        return
    last = obligation.last.outcome if obligation.last is not None else None
    reason = customer_reason(
        (last.klass if last else None) or DeclineClass.SOFT, (last.raw_code if last else None) or ""
    )
    yield _Wanted(
        key=f"{state.generation}/{obligation.id}/{planned.number}/{_stamp(planned.at)}/retry_reminder",
        occasion=Occasion.RETRY_REMINDER,
        channels=channels,
        at=planned.at - REMINDER_BEFORE,
        because="the next attempt is a day away",
        obligation=obligation.id,
        facts={
            **_money(state, obligation.amount, obligation.currency, obligation.description),
            "reason_key": str(reason),
            "next_attempt_at": planned.at.isoformat(),
        },
    )


def _upcoming(state: State, due: datetime) -> Iterator[_Wanted]:
    channels = state.terms.notifications.get(Occasion.UPCOMING_CHARGE)
    if not channels:
        return
    hours = state.terms.notice_before_charge_hours
    before = UPCOMING_BEFORE_LONG_CYCLES if _is_long(state) else UPCOMING_BEFORE
    if hours is not None:
        before = max(before, timedelta(hours=hours) + LEAD)
    yield _Wanted(
        key=f"{state.generation}/due/{_stamp(due)}/upcoming_charge",
        occasion=Occasion.UPCOMING_CHARGE,
        channels=channels,
        at=due - before,
        because="the next charge is near" if hours is None else f"a charge needs a notice {hours} hours before it",
        facts=_money(state) | {"next_due_at": due.isoformat()},
        is_precondition=hours is not None,
    )


def _expiring(state: State, due: datetime) -> Iterator[_Wanted]:
    channels = state.terms.notifications.get(Occasion.CARD_EXPIRING)
    method = state.method(state.current)
    if not channels or method is None or method.expires is None or not method.is_expired(due):
        return
    for before in CARD_EXPIRES_BEFORE:
        yield _Wanted(
            key=f"{state.generation}/due/{_stamp(due)}/{method.token}/{before.days}/card_expiring",
            occasion=Occasion.CARD_EXPIRING,
            channels=channels,
            at=due - before,
            because=f"the card expires before the charge that is due in {before.days} days",
            facts=_money(state) | {"next_due_at": due.isoformat(), "expires": method.expires},
        )


def _prices(state: State) -> Iterator[_Wanted]:
    """Prices that a provider states to change: one message lists all items of a day (UTC). SPEC 11, 12.

    What is listed is part of the key: another item on the same day, or another amount, is told anew.
    """
    channels = state.terms.notifications.get(Occasion.PRICE_CHANGE)
    plan = state.plan
    if not channels or plan is None or state.is_ended:
        return
    for charge_at, items in open_changes(plan.items):
        rows = [[one.product_id, one.amount or 0, change.new_amount] for one, change in items]
        stamp = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]
        names = ", ".join(one.product_id for one, _ in items)
        whole = sum(one.amount or 0 for one in plan.items if one.is_renewing)
        difference = sum(change.new_amount - (one.amount or 0) for one, change in items)
        facts: dict[str, str | int] = _money(state, amount=whole + difference, currency=items[0][0].currency)
        facts |= {
            "old_amount": whole,
            "items": json.dumps(rows, ensure_ascii=False),
            "next_due_at": charge_at.isoformat(),
        }
        if any(change.needs_consent for _, change in items):
            facts["stage"] = CONSENT
        yield _Wanted(
            key=f"{state.generation}/price/{_stamp(charge_at)}/{stamp}/price_change",
            occasion=Occasion.PRICE_CHANGE,
            channels=channels,
            at=charge_at - timedelta(days=NOTICE_DAYS),
            because=f"the price of {names} changes on {charge_at:%Y-%m-%d}",
            facts=facts,
            may_be_late=True,
        )


def open_changes(
    items: Sequence[ItemStanding],
) -> Iterator[tuple[datetime, tuple[tuple[ItemStanding, PriceStanding], ...]]]:
    """Items that renew, with a price that is still to change: day by day, with the first charge of each day."""
    days: dict[date, list[tuple[datetime, ItemStanding, PriceStanding]]] = {}
    for one in items:
        change = one.price_change
        if one.is_renewing and change is not None and change.is_open and change.charge_at is not None:
            days.setdefault(change.charge_at.date(), []).append((change.charge_at, one, change))
    for _, found in sorted(days.items()):
        yield min(at for at, _, _ in found), tuple((one, change) for _, one, change in found)


def _money(
    state: State, amount: int | None = None, currency: str | None = None, description: str | None = None
) -> dict[str, str | int]:
    terms = state.next_terms or state.terms
    return {
        "amount": terms.amount if amount is None else amount,
        "currency": currency or terms.currency,
        "description": description or terms.description,
    }


def _is_long(state: State) -> bool:
    schedule = state.terms.schedule
    months = {Interval.YEAR: 12, Interval.MONTH: 1}.get(schedule.interval, 0)
    return months * schedule.interval_count >= 6


def _stamp(at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%S}"
