"""Schedules at Omise: made by the steps of its guide, read with what they collected, destroyed. Sheet B2.2. SPEC 12.

A schedule cannot be changed, paused or taken up again: destroying is for good. It names the card that it charges, so
that nobody changes what it collects from by making another card the customer's default.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

from dunning.domain.calendar import Calendar, Interval, Weekday
from dunning.domain.plans import PlanStatus
from dunning.providers.base import ProviderRefused, ProviderUnavailable
from dunning.providers.following import Plan, PlanRequest, PlanUnclear
from dunning.providers.http import Reply
from dunning.providers.omise_client import OmiseClient, read, required
from dunning.providers.omise_customers import EXPIRED_CARD, MISSING_CARD, Customers
from dunning.providers.omise_requests import plain
from dunning.providers.omise_schedules_wire import (
    PLAN,
    DueDay,
    WireOccurrence,
    WireSchedule,
    cycle_of,
    due_days,
    gone,
    plan_of,
)
from dunning.providers.omise_wire import SUBSCRIPTION, WireCard, WireCharge

TOO_SOON = "start_date"
NO_CALENDAR = "schedule"
LONGEST = 100
"""Years: an end is asked for, and a span of so many was accepted (sheet B2.2)."""
RECENT = timedelta(days=400)
"""Due days farther back are settled for good, and are not read again."""
_WEEKDAYS = list(Weekday)


class Schedules:
    """One account's schedules."""

    def __init__(self, client: OmiseClient, customers: Customers) -> None:
        self._client = client
        self._customers = customers

    async def create(self, request: PlanRequest) -> Plan:
        """The guide's safe creation, step by step, then `POST /schedules`, once.

        Raises:
            ProviderUnavailable: Omise could not be asked; nothing was made.
            ProviderRefused: no such customer (never retried), no usable card, an expired one, a first charge that is
                not at least a day ahead, or a calendar that Omise cannot follow.
            PlanUnclear: it was sent and never answered.
        """
        body = schedule_body(request)
        customer = await self._customers.read(request.customer_reference or "")
        if customer.deleted:
            raise ProviderRefused("not_found", f"customer {customer.id} was deleted")
        token = request.method_tokens[0] if request.method_tokens else customer.default_card
        if token is None:
            raise ProviderRefused(MISSING_CARD, f"customer {customer.id} has no default card")
        card = await self._customers.card_for(customer.id, token)
        await self._require_usable(customer.id, card, request.business_at)
        body["charge"] = {**body["charge"], "card": card}
        reply = await self._client.send("POST", "/schedules", body, request.business_at)
        return plan_of(_changed(reply))

    async def find(self, request: PlanRequest, since: datetime) -> tuple[Plan, ...]:
        """Schedules of this customer that carry the reference and are not over, oldest first."""
        path = f"/customers/{quote(request.customer_reference or '', safe='')}/schedules"
        rows = self._client.rows(path, WireSchedule, order="chronological")
        found = [one async for one in rows if one.reference == request.reference]
        return tuple(plan_of(one) for one in found if one.plan_status is PlanStatus.ACTIVE)

    async def read(self, schedule_id: str, business_at: datetime) -> Plan:
        """A schedule with its due days and their tries; one that is gone has ended."""
        path = _path(schedule_id)
        try:
            schedule = read(WireSchedule, required(await self._client.get(path, business_at)))
        except ProviderRefused as refused:
            if refused.code != "not_found":
                raise
            return gone(schedule_id)
        if schedule.deleted and schedule.charge is None:
            return gone(schedule_id)
        rows = self._client.rows(f"{path}/occurrences", WireOccurrence)
        oldest = (business_at - RECENT).date()
        days = due_days([one async for one in rows if one.scheduled_on >= oldest])
        cycles = [cycle_of(day, schedule, await self._charges_of(day, schedule.id)) for day in days]
        return plan_of(schedule, tuple(cycles))

    async def end(self, schedule_id: str, business_at: datetime) -> Plan:
        """Destroy it for good and read it back; already over, or gone, is success."""
        reply = await self._client.send("DELETE", _path(schedule_id), {}, business_at)
        with suppress(ProviderRefused):  # gone, or over already: what is read back decides
            _changed(reply)
        return await self.read(schedule_id, business_at)

    async def _charges_of(self, day: DueDay, schedule_id: str) -> dict[int, WireCharge]:
        """The charges of a due day by the number of their try. A good one needs no second look."""
        if day.tried == 1 and day.last.status == "successful":
            return {}
        found = {number: await self._charge(one) for number, one in day.charges.items()}
        if len(found) < day.tried:
            found |= await self._unnamed(day, schedule_id, {one.id for one in found.values()})
        return found

    async def _charge(self, charge_id: str) -> WireCharge:
        return read(WireCharge, required(await self._client.get(f"/charges/{quote(charge_id, safe='')}")))

    async def _unnamed(self, day: DueDay, schedule_id: str, known: set[str]) -> dict[int, WireCharge]:
        """Charges of earlier tries: the occurrence names only the last, the list of charges has all."""
        begin = datetime.combine(day.first.scheduled_on - timedelta(days=1), datetime.min.time(), UTC)
        query: dict[str, str | int] = {
            "from": begin.isoformat().replace("+00:00", "Z"),
            "to": (begin + timedelta(days=5)).isoformat().replace("+00:00", "Z"),
            "order": "chronological",
        }
        rows = self._client.rows("/charges", WireCharge, **query)
        found = [one async for one in rows if one.schedule == schedule_id and one.id not in known]
        return dict(enumerate(found[: day.tried - len(known)], start=1))

    async def _require_usable(self, customer_id: str, card_id: str, at: datetime) -> None:
        path = f"/customers/{quote(customer_id, safe='')}/cards/{quote(card_id, safe='')}"
        card = read(WireCard, required(await self._client.get(path)))
        if card.deleted:
            raise ProviderRefused(MISSING_CARD, f"card {card_id} was deleted")
        if card.is_expired(at):
            raise ProviderRefused(EXPIRED_CARD, f"card {card_id} of customer {customer_id} has expired")


def schedule_body(request: PlanRequest) -> dict[str, Any]:
    """`POST /schedules`, without the card. A year is twelve months (sheet 0.1 #11); days are those of the anchor.

    Raises:
        ProviderRefused: the first charge is not at least a day ahead (the guide's rule), or nothing is to be collected.
    """
    calendar, first = request.calendar, request.first_due_at
    if calendar is None or first is None or request.cycles_left == 0:
        raise ProviderRefused(NO_CALENDAR, "there is nothing to collect")
    start = _day(calendar, first)
    if start <= _day(calendar, request.business_at):
        raise ProviderRefused(TOO_SOON, f"the first charge must be at least one day ahead, not {start}")
    terms = request.terms
    every, period = _pace(calendar)
    body: dict[str, Any] = {
        "every": every,
        "period": period,
        "start_date": start.isoformat(),
        "end_date": _end(calendar, request, start).isoformat(),
        "charge": {
            "customer": request.customer_reference,
            "amount": terms.amount,
            "currency": terms.currency.lower(),
            "description": terms.description,
            "metadata": {**plain(terms.metadata), SUBSCRIPTION: request.subscription, PLAN: request.reference},
        },
    }
    on = _on(calendar)
    return {**body, "on": on} if on else body


def _pace(calendar: Calendar) -> tuple[int, str]:
    count = calendar.interval_count
    return {
        Interval.DAY: (count, "day"),
        Interval.WEEK: (count, "week"),
        Interval.MONTH: (count, "month"),
        Interval.YEAR: (12 * count, "month"),
    }[calendar.interval]


def _on(calendar: Calendar) -> dict[str, Any] | None:
    anchor, on = calendar.anchor_at, calendar.on
    if on is not None and on.weekday_of_month is not None:
        return {"weekday_of_month": on.weekday_of_month}
    if on is not None and on.weekdays is not None:
        return {"weekdays": [day.value for day in on.weekdays]}
    if on is not None and on.days_of_month is not None:
        return {"days_of_month": list(on.days_of_month)}
    if calendar.interval is Interval.WEEK:
        return {"weekdays": [_WEEKDAYS[anchor.weekday()].value]}
    if calendar.interval is Interval.DAY:
        return None
    return {"days_of_month": [anchor.day]}


def _day(calendar: Calendar, at: datetime) -> date:
    return at.astimezone(calendar.anchor_at.tzinfo).date()


def _end(calendar: Calendar, request: PlanRequest, start: date) -> date:
    """Inclusive (sheet B6): the day of the last cycle, or far away."""
    last = calendar.last_number()
    due = calendar.due_if_any(last) if last is not None else None
    if due is not None:
        return _day(calendar, due)
    return start.replace(year=start.year + LONGEST, day=min(start.day, 28))


def _changed(reply: Reply) -> WireSchedule:
    """The schedule that a request made or changed.

    Raises:
        ProviderUnavailable: surely nothing happened.
        ProviderRefused: Omise understood and refused.
        PlanUnclear: it was sent, and the answer never came or cannot be read.
    """
    try:
        return read(WireSchedule, required(reply))
    except ProviderUnavailable as failure:
        if reply.is_unsent or reply.status in (401, 403, 429):
            raise
        raise PlanUnclear(str(failure)) from None


def _path(schedule_id: str) -> str:
    """An id that came from outside never becomes a path of its own."""
    return f"/schedules/{quote(schedule_id, safe='')}"
