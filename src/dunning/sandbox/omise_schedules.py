"""Omise's routes for schedules and occurrences. Sheet B2.2: they are made, read and destroyed; nothing changes one."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

from fastapi import APIRouter, Depends, Request

from dunning.sandbox.book import Subscription, machine_now, new_id, read_instant
from dunning.sandbox.dodo_shared import BUSINESS_AT_HEADER
from dunning.sandbox.faults import LAG
from dunning.sandbox.here import Here
from dunning.sandbox.omise_bodies import fields_of, listing, pairs, require_secret_key, whole, wire_instant
from dunning.sandbox.omise_errors import OmiseError, not_found
from dunning.sandbox.omise_schedule_book import ORDINALS, WEEKDAYS, Occurrence, OmiseSchedule
from dunning.sandbox.omise_views import schedule_view
from dunning.sandbox.state import Sandbox

router = APIRouter(dependencies=[Depends(require_secret_key)])
PERIODS = ("day", "week", "month")
LEAST = {"THB": 2_000}
_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")


@router.post("/schedules")
async def create(sandbox: Here, request: Request) -> dict[str, Any]:
    """`POST /schedules`."""
    fields = await fields_of(request)
    charge = fields.get("charge")
    if not isinstance(charge, dict):
        raise OmiseError("bad_request", "charge is missing; this sandbox makes no transfers")
    customer = sandbox.omise.customer(str(charge.get("customer")))
    now = read_instant(request.headers.get(BUSINESS_AT_HEADER)) or machine_now()
    period = fields.get("period")
    if period not in PERIODS:
        raise OmiseError("bad_request", f"period must be one of {', '.join(PERIODS)}")
    every = whole(fields.get("every"), "every")
    start = _date(fields.get("start_date"), "start_date") if fields.get("start_date") else now.date()
    if every < 1 or start < now.date():
        raise OmiseError("bad_request", "every must be 1 or more, and start_date must not be in the past")
    schedule = OmiseSchedule(
        schedule_id=new_id("schd_test"),
        customer=customer,
        every=every,
        period=str(period),
        on=_on(str(period), fields.get("on")),
        start=start,
        end=_date(fields.get("end_date"), "end_date"),
        created_at=machine_now(),
        **_price(sandbox, customer, charge),
    )
    return schedule_view(sandbox.omise.scheduler.add(schedule))


@router.get("/schedules")
async def schedules(sandbox: Here, request: Request) -> dict[str, Any]:
    """`GET /schedules`."""
    found = _listed(request, list(sandbox.omise.scheduler.schedules.values()))
    return await listing(request, found, lambda one: one.created_at, schedule_view)


@router.get("/charges/schedules")
async def charge_schedules(sandbox: Here, request: Request) -> dict[str, Any]:
    """`GET /charges/schedules`: those that charge, which all of this sandbox's do."""
    return await schedules(sandbox, request)


@router.get("/customers/{customer_id}/schedules")
async def of_customer(sandbox: Here, customer_id: str, request: Request) -> dict[str, Any]:
    """`GET /customers/{id}/schedules`."""
    found = _listed(request, sandbox.omise.scheduler.of(sandbox.omise.customer(customer_id)))
    return await listing(request, found, lambda one: one.created_at, schedule_view)


@router.get("/schedules/{schedule_id}")
async def read(sandbox: Here, schedule_id: str, request: Request) -> dict[str, Any]:
    """`GET /schedules/{id}`."""
    return schedule_view(_found(sandbox, schedule_id, request))


@router.delete("/schedules/{schedule_id}")
async def destroy(sandbox: Here, schedule_id: str, request: Request) -> dict[str, Any]:
    """`DELETE /schedules/{id}`: for good."""
    schedule = _found(sandbox, schedule_id, request)
    sandbox.omise.scheduler.destroy(schedule)
    return schedule_view(schedule)


@router.get("/schedules/{schedule_id}/occurrences")
async def occurrences(sandbox: Here, schedule_id: str, request: Request) -> dict[str, Any]:
    """`GET /schedules/{id}/occurrences`."""
    schedule = _found(sandbox, schedule_id, request)
    return await listing(
        request, schedule.occurrences, lambda one: one.processed_at or machine_now(), lambda one: _line(schedule, one)
    )


@router.get("/occurrences/{occurrence_id}")
async def occurrence(sandbox: Here, occurrence_id: str) -> dict[str, Any]:
    """`GET /occurrences/{id}`."""
    for schedule in sandbox.omise.scheduler.schedules.values():
        for one in schedule.occurrences:
            if one.occurrence_id == occurrence_id:
                return _line(schedule, one)
    raise not_found("occurrence", occurrence_id)


def _listed(request: Request, found: list[OmiseSchedule]) -> list[OmiseSchedule]:
    """Without those that are too young for a list that lags."""
    lag = request.scope.get(LAG)
    newest = machine_now() - timedelta(seconds=lag or 0)
    return [one for one in found if lag is None or one.created_at <= newest]


def _line(schedule: OmiseSchedule, one: Occurrence) -> dict[str, Any]:
    return {
        "object": "occurrence",
        "id": one.occurrence_id,
        "livemode": False,
        "location": f"/occurrences/{one.occurrence_id}",
        "schedule": schedule.schedule_id,
        "scheduled_on": one.scheduled_on.isoformat(),
        "retry_on": one.retry_on.isoformat() if one.retry_on is not None else None,
        "processed_at": wire_instant(one.processed_at),
        "status": one.status,
        "message": one.message,
        "result": one.result,
        "created_at": wire_instant(one.processed_at),
    }


def _found(sandbox: Sandbox, schedule_id: str, request: Request) -> OmiseSchedule:
    """The schedule, brought up to the business instant that the caller tells."""
    found = sandbox.omise.scheduler.schedules.get(schedule_id)
    if found is None:
        raise not_found("schedule", schedule_id)
    now = read_instant(request.headers.get(BUSINESS_AT_HEADER))
    if now is not None:
        sandbox.omise.scheduler.advance(now, found.customer)
    return found


def _price(sandbox: Sandbox, customer: Subscription, charge: dict[str, Any]) -> dict[str, Any]:
    amount, currency = whole(charge.get("amount"), "charge[amount]"), str(charge.get("currency") or "thb").upper()
    if amount < LEAST.get(currency, sandbox.settings.minimum_amount):
        raise OmiseError("invalid_charge", "amount is too small")
    wanted = charge.get("card")
    card = customer.customer.methods.get(str(wanted)) if wanted else None
    if wanted and card is None:
        raise not_found("card", str(wanted))
    if card is None and customer.payment_method_id is None:
        raise OmiseError("missing_card", f"customer {customer.subscription_id} has no card")
    return {
        "amount": amount,
        "currency": currency,
        "card": card,
        "description": charge.get("description"),
        "metadata": pairs(charge.get("metadata")),
    }


def _on(period: str, given: object) -> dict[str, Any]:
    on = given if isinstance(given, dict) else {}
    if period == "day":
        return {}
    if period == "week":
        days = on.get("weekdays")
        if not isinstance(days, list) or not days or any(day not in WEEKDAYS for day in days):
            raise OmiseError("bad_request", "on [weekdays] must be an array of weekdays")
        return {"weekdays": days}
    if "weekday_of_month" in on:
        ordinal, _, weekday = str(on["weekday_of_month"]).partition("_")
        if ordinal not in ORDINALS or weekday not in WEEKDAYS:
            raise OmiseError("bad_request", "on [weekday_of_month] must be like second_monday")
        return {"weekday_of_month": on["weekday_of_month"]}
    days = on.get("days_of_month")
    numbers = [whole(day, "on [days_of_month]") for day in days] if isinstance(days, list) else []
    if not numbers or any(not 1 <= day <= 28 for day in numbers):
        raise OmiseError("bad_request", "on [days_of_month] must be an array of integer values (1 - 28)")
    return {"days_of_month": numbers}


def _date(value: object, name: str) -> date:
    if not isinstance(value, str) or not _DAY.match(value):
        raise OmiseError("bad_request", f"{name} must be a date (YYYY-MM-DD)")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise OmiseError("bad_request", f"{name} must be a date (YYYY-MM-DD)") from None
