"""Rules that span fields of a subscription. SPEC 4, 7, 12.

They work on the raw document, so that they are reported together with faults of single fields; a rule whose
fields are not of the right shape stays silent, because the shape is reported already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from dunning.domain.money import is_currency
from dunning.domain.terms import OPTIONS_OF, Provider

Broken = tuple[str, str, Any]
"""(field, rule, value)."""

METADATA_LIMITS = {"dodo": 50 - 6, "xendit": 50, "omise": 50, "google_play": 0}
"""Pairs a backend may give; on Dodo six of the fifty are ours (attempt key, number, instants, references)."""

MINIMUM_AMOUNTS = {"dodo": {"USD": 50, "EUR": 50, "GBP": 50}, "omise": {"THB": 2000}}
"""Smallest charge per provider and currency, where the contract states one; minor units."""

LINK_PROVIDERS = frozenset({"dodo", "xendit"})
"""Providers that can make a mandate link, so that payment methods may be empty."""


def broken_rules(data: Mapping[str, Any]) -> list[Broken]:
    """Every rule that the document breaks, in a fixed order."""
    found: list[Broken] = []
    for rule in _RULES:
        try:
            found.extend(rule(data))
        except (TypeError, AttributeError, KeyError, ValueError):
            continue
    return found


def _items(data: Mapping[str, Any]) -> Iterator[Broken]:
    items = data["items"]
    bases = sum(1 for item in items if item["role"] == "base")
    if bases != 1:
        yield "items", "must have exactly one item with role base", bases
    total = sum(item.get("quantity", 1) * item["unit_amount"] for item in items)
    if total <= 0:
        yield "items", "must amount to more than 0", total
    minimum = MINIMUM_AMOUNTS.get(data["provider"], {}).get(data["currency"])
    if minimum is not None and 0 < total < minimum:
        yield "items", f"must amount to at least {minimum} {data['currency']} at {data['provider']}", total


def _currency(data: Mapping[str, Any]) -> Iterator[Broken]:
    if len(data["currency"]) == 3 and not is_currency(data["currency"]):
        yield "currency", "must be an ISO 4217 currency", data["currency"]


def _provider(data: Mapping[str, Any]) -> Iterator[Broken]:
    provider, collection = data["provider"], data.get("collection", "engine")
    if provider == "dodo" and collection != "engine":
        yield "collection", "must be engine for dodo", collection
    if provider == "google_play" and collection != "provider":
        yield "collection", "must be provider for google_play", collection


def _provider_options(data: Mapping[str, Any]) -> Iterator[Broken]:
    options = data.get("provider_options", {})
    try:
        OPTIONS_OF[Provider(data["provider"])].model_validate(options)
    except ValidationError as refused:
        for error in refused.errors(include_url=False):
            place = ".".join(str(part) for part in ("provider_options", *error["loc"]))
            value = None if error["type"] == "missing" else error["input"]
            yield place, f"{error['msg'].lower()} (for {data['provider']})", value
    if data["provider"] == "dodo" and not (options.get("product_id") or options.get("subscription_id")):
        yield "provider_options", "must have product_id or subscription_id for dodo", sorted(options)


def _collection(data: Mapping[str, Any]) -> Iterator[Broken]:
    if data.get("collection") == "provider" and data.get("on_hard_decline") == "FAIL_CYCLE":
        action = data.get("failed_cycle_action", "STOP")
        if action != "STOP":
            yield "on_hard_decline", "FAIL_CYCLE with collection provider needs failed_cycle_action STOP", action


def _methods(data: Mapping[str, Any]) -> Iterator[Broken]:
    methods = data.get("payment_methods", [])
    if not methods and data["provider"] not in LINK_PROVIDERS:
        yield "payment_methods", f"must not be empty: {data['provider']} has no mandate link", []
    tokens = [m["token"] for m in methods]
    for token in sorted({t for t in tokens if tokens.count(t) > 1}):
        yield "payment_methods", "must not repeat a token", token
    if methods and data["provider"] == "dodo" and not data.get("provider_options", {}).get("subscription_id"):
        yield "provider_options.subscription_id", "must name the mandate that the payment methods belong to", None


def _schedule_on(data: Mapping[str, Any]) -> Iterator[Broken]:
    schedule = data["schedule"]
    on, interval = schedule.get("on"), schedule["interval"]
    if on is None:
        return
    if on.get("weekdays") is not None and interval != "WEEK":
        yield "schedule.on.weekdays", "needs interval WEEK", interval
    if (on.get("days_of_month") is not None or on.get("weekday_of_month") is not None) and interval not in ("MONTH", "YEAR"):
        yield "schedule.on", "days of a month need interval MONTH or YEAR", interval


def _schedule_order(data: Mapping[str, Any]) -> Iterator[Broken]:
    schedule = data["schedule"]
    end = _instant(schedule.get("end_at"))
    for name in ("start_at", "trial_ends_at", "anchor_at"):
        start = _instant(schedule.get(name))
        if end is not None and start is not None and end < start:
            yield "schedule.end_at", f"must not be before {name}", schedule["end_at"]
    total, committed = schedule.get("total_cycles"), schedule.get("commitment_cycles")
    if total is not None and committed is not None and committed > total:
        yield "schedule.commitment_cycles", "must not exceed total_cycles", committed


def _instant(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(value.replace("Z", "+00:00"))


def _retry(data: Mapping[str, Any]) -> Iterator[Broken]:
    retry = data.get("retry")
    if retry is None:
        return
    days = retry.get("ladder_days")
    uniform = [retry.get(name) for name in ("interval", "interval_count", "total")]
    if days is not None and any(v is not None for v in uniform):
        yield "retry", "must have either ladder_days, or interval, interval_count and total", sorted(retry)
    if any(v is not None for v in uniform) and any(v is None for v in uniform):
        yield "retry", "must have interval, interval_count and total together", sorted(retry)
    if uniform[0] is not None and uniform[0] != "DAY":
        yield "retry.interval", "must be DAY", uniform[0]
    if days is not None and (any(d < 1 for d in days) or list(days) != sorted(set(days))):
        yield "retry.ladder_days", "must be strictly increasing days from 1", list(days)
    rungs = len(days) if days is not None else (uniform[2] if uniform[2] is not None else 3)
    attempts = retry.get("max_attempts", rungs + 1) or rungs + 1
    if attempts > 4 and not retry.get("allow_more_than_4", False):
        yield "retry.max_attempts", "above 4 needs allow_more_than_4: true", attempts


def _told(data: Mapping[str, Any]) -> Iterator[Broken]:
    told = data.get("failed_attempt_notifications")
    if told is not None and any(n < 1 for n in told):
        yield "failed_attempt_notifications", "must be attempt numbers from 1", list(told)


def _reachable(data: Mapping[str, Any]) -> Iterator[Broken]:
    customer = data["customer"]
    contact = {"WHATSAPP": "phone", "SMS": "phone", "EMAIL": "email"}
    for occasion, channels in data.get("notifications", {}).items():
        for channel in channels:
            needed = contact.get(channel)
            if needed is not None and not customer.get(needed):
                yield f"customer.{needed}", f"is needed: {occasion} is to be told by {channel}", None


def _zone(data: Mapping[str, Any]) -> Iterator[Broken]:
    zone = data["customer"].get("time_zone")
    if zone is None:
        return
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        yield "customer.time_zone", "must be an IANA time zone", zone


def _metadata(data: Mapping[str, Any]) -> Iterator[Broken]:
    limit = METADATA_LIMITS[data["provider"]]
    pairs = len(data.get("metadata", {}))
    if pairs > limit:
        yield "metadata", f"must have at most {limit} pairs at {data['provider']}", pairs
    for key, value in data.get("metadata", {}).items():
        if len(key) > 40 or (isinstance(value, str) and len(value) > 500):
            yield f"metadata.{key}", "keys have at most 40 characters and values 500", len(str(value))


def _window(data: Mapping[str, Any]) -> Iterator[Broken]:
    if data.get("notice_before_charge_hours") and "upcoming_charge" not in data.get("notifications", {}):
        yield "notifications.upcoming_charge", "needs a channel when notice_before_charge_hours is set", None


_RULES: tuple[Callable[[Mapping[str, Any]], Iterator[Broken]], ...] = (
    _items,
    _currency,
    _provider,
    _provider_options,
    _collection,
    _methods,
    _schedule_on,
    _schedule_order,
    _retry,
    _told,
    _reachable,
    _zone,
    _metadata,
    _window,
)
