"""What we ask of Xendit's plans, by either contract, and what they cannot express. Source: the sheet, A2.2, A4, A5.

Everything that is refused here is refused before anything is sent, with the way that is left open.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from dunning.domain.calendar import Calendar, Interval, open_calendar
from dunning.domain.options import XenditOptions
from dunning.domain.terms import ImmediateAction, Terms
from dunning.providers.base import ProviderRefused
from dunning.providers.following import PlanRequest
from dunning.providers.xendit_plan_wire import WirePlan
from dunning.providers.xendit_requests import ACCOUNT, MAX_DESCRIPTION, major, own_texts
from dunning.providers.xendit_wire import SUBSCRIPTION

LAST_DAY, MOST_TOKENS, MOST_RETRIES, MOST_PAIRS, MOST_TOTAL = 28, 5, 10, 20, 32_000
A_LITTLE_AHEAD = timedelta(minutes=10)
"""An anchor in the past is documented nowhere: one that has just passed moves so far ahead (sheet A5)."""
STILL_TODAY = timedelta(days=1)
OTHER_WAY = "collection engine does it"
ITEM_TYPE = "DIGITAL_SERVICE"


class Timing(NamedTuple):
    """When a new plan charges. `anchor` is in the offset of the terms' own anchor: its day is what counts there."""

    anchor: datetime
    is_immediate: bool
    total: int | None


def timing_of(request: PlanRequest) -> Timing:
    """When the plan is to charge; raises `ProviderRefused` for a calendar that no plan can follow."""
    calendar = request.calendar or _calendar(request.terms, request.business_at)
    number = 2 if _is_at_once(request, calendar) else 1
    is_immediate = number == 2
    if request.first_due_at is not None and not is_immediate:
        first = request.first_due_at
    else:
        found = calendar.due_if_any(number)
        if found is None:
            raise ProviderRefused("SCHEDULE", f"a plan needs a charge that lies ahead; {OTHER_WAY}")
        first = found
    if first <= request.business_at - STILL_TODAY:
        is_immediate, first = True, _next_after(calendar, request.business_at)
    elif first <= request.business_at:
        first = request.business_at + A_LITTLE_AHEAD
    last = calendar.last_number()
    total = request.cycles_left if request.cycles_left is not None else last
    if total is not None and total > MOST_TOTAL:
        raise ProviderRefused("SCHEDULE", f"Xendit counts to {MOST_TOTAL} cycles; leave total_cycles out")
    local = first.astimezone(calendar.anchor_at.tzinfo)
    return Timing(bound(local), is_immediate, total)


def bound(anchor: datetime) -> datetime:
    """The anchor, on a day that Xendit takes; raises `ProviderRefused`."""
    if anchor.day > LAST_DAY:
        rule = f"Xendit's calendars start on day 1 to {LAST_DAY} of a month, not on {anchor:%Y-%m-%d}"
        raise ProviderRefused("ANCHOR_DATE", f"{rule}; collection engine follows any day")
    return anchor


def _is_at_once(request: PlanRequest, calendar: Calendar) -> bool:
    """Whether cycle 1 is charged when the plan begins, whenever that is."""
    at = calendar.immediate_at
    if at is None or (request.first_due_at is not None and request.first_due_at != at):
        return False
    if at <= request.business_at:
        return True
    if _calendar(request.terms, at, is_immediate=False).due_if_any(1) == at:
        return False
    rule = "Xendit charges at once or by its calendar, not once on another day before"
    raise ProviderRefused("IMMEDIATE_PAYMENT", f"{rule}; {OTHER_WAY}")


def _calendar(terms: Terms, at: datetime, *, is_immediate: bool | None = None) -> Calendar:
    given = terms.schedule
    wanted = terms.immediate_action is ImmediateAction.FULL_AMOUNT if is_immediate is None else is_immediate
    return open_calendar(
        anchor_at=given.anchor_at,
        interval=given.interval,
        interval_count=given.interval_count,
        on=given.on,
        start_at=given.start_at,
        end_at=given.end_at,
        total_cycles=given.total_cycles,
        trial_ends_at=given.trial_ends_at,
        authorized_at=at,
        immediate=wanted,
    )


def _next_after(calendar: Calendar, at: datetime) -> datetime:
    number = calendar.first_number_at_or_after(at + A_LITTLE_AHEAD, after_number=0)
    found = calendar.due_if_any(number)
    if found is None:
        raise ProviderRefused("SCHEDULE", f"the calendar has ended; {OTHER_WAY}")
    return found


def plan_body(request: PlanRequest, customer: str) -> dict[str, Any]:
    """`POST /recurring/plans` by the current contract; raises `ProviderRefused` for what it cannot express."""
    options, timing = plan_options(request.terms), timing_of(request)
    body = {
        **_common(request, customer, timing),
        "payment_tokens": [{"payment_token_id": one, "rank": rank} for rank, one in _ranked(request)],
        "immediate_payment": timing.is_immediate,
        "schedule": schedule_body(request.terms, timing.anchor, timing.total),
        "locale": _locale(request.terms),
    }
    if options.notification_channels:
        body["notification_channels"] = list(options.notification_channels)
    return body


def legacy_body(request: PlanRequest, customer: str) -> dict[str, Any]:
    """`POST /recurring/plans` by the guide's contract; raises `ProviderRefused` for what it cannot express."""
    terms, options, timing = request.terms, plan_options(request.terms), timing_of(request)
    if terms.schedule.interval is Interval.YEAR:
        raise ProviderRefused("INTERVAL", "the older contract knows no YEAR: give 12 MONTH, or leave legacy_plan out")
    ranked = _ranked(request)
    pages = {"success_return_url": options.success_return_url, "failure_return_url": options.failure_return_url}
    if not ranked and None in pages.values():
        missing = ", ".join(f"provider_options.{name}" for name, one in pages.items() if one is None)
        raise ProviderRefused("RETURN_URL", f"the older contract's linking page needs {missing}")
    told = list(options.notification_channels)
    locale = _locale(terms)
    return {
        **_common(request, customer, timing),
        "recurring_action": "PAYMENT",
        "payment_methods": [{"payment_method_id": one, "rank": rank} for rank, one in ranked],
        "schedule": {
            "reference_id": request.reference,
            **schedule_body(terms, timing.anchor, timing.total),
        },
        "immediate_action_type": "FULL_AMOUNT" if timing.is_immediate else None,
        "notification_config": {
            "recurring_created": told,
            "recurring_succeeded": told,
            "recurring_failed": told,
            "locale": locale if locale in ("en", "id") else "en",
        },
        **{name: one for name, one in pages.items() if one is not None},
    }


def schedule_body(terms: Terms, anchor: datetime, total: int | None) -> dict[str, Any]:
    """A plan's calendar and its retries; raises `ProviderRefused` for retries that are not evenly spaced."""
    schedule = terms.schedule
    if schedule.on is not None:
        raise ProviderRefused("SCHEDULE", f"a plan cannot name days of its own; {OTHER_WAY}")
    body: dict[str, Any] = {
        "interval": schedule.interval.value,
        "interval_count": schedule.interval_count,
        "anchor_date": anchor.isoformat(),
    }
    if total is not None:
        body["total_recurrence"] = total
    days = terms.retry.days
    if not days:
        return body
    if len(days) > MOST_RETRIES or any(day != days[0] * rung for rung, day in enumerate(days, 1)):
        rule = f"Xendit retries at most {MOST_RETRIES} times, evenly spaced, and not on days {list(days)}"
        raise ProviderRefused("RETRY", f"{rule}; give interval, interval_count and total, or collection engine")
    body |= {"retry_interval": "DAY", "retry_interval_count": days[0], "total_retry": len(days)}
    told = _notified(terms, len(days))
    return {**body, "failed_attempt_notifications": told} if told else body


def items_body(terms: Terms) -> list[dict[str, Any]] | None:
    """The items, where their category is known; their sum is the amount."""
    category = plan_options(terms).item_category
    if category is None:
        return None
    return [
        {
            "type": ITEM_TYPE,
            "reference_id": item.product_id,
            "name": item.product_id,
            "net_unit_amount": major(item.unit_amount, terms.currency),
            "quantity": item.quantity,
            "category": category,
        }
        for item in terms.items
    ]


def changes_body(plan: WirePlan, terms: Terms) -> dict[str, Any]:
    """`PATCH /recurring/plans/{id}`: what these terms change of the plan; empty when nothing does.

    Raises:
        ProviderRefused: for what a plan cannot change.
    """
    if plan.failed_cycle_action not in (None, terms.failed_cycle_action.value):
        raise ProviderRefused(
            "FAILED_CYCLE_ACTION", "Xendit keeps the failed-cycle action of a plan: cancel it and start it anew"
        )
    body: dict[str, Any] = {}
    amount = major(terms.amount, terms.currency)
    if float(plan.amount) != float(amount):
        body["amount"] = amount
        items = items_body(terms)
        body |= {"items": items} if items is not None else {}
    if plan.description != terms.description[:MAX_DESCRIPTION]:
        body["description"] = terms.description[:MAX_DESCRIPTION]
    found = plan.schedule
    if found is not None and found.anchor_date is not None:
        wanted = schedule_body(terms, found.anchor_date, found.total_recurrence)
        told = (found.retry_interval_count, found.total_retry or None)
        if told != (wanted.get("retry_interval_count"), wanted.get("total_retry")):
            body["schedule"] = wanted
    return body


def moved_schedule(plan: WirePlan, to: datetime) -> dict[str, Any]:
    """A plan's own calendar, anchored anew; raises `ProviderRefused` for a day that Xendit does not take."""
    found = plan.schedule
    if found is None or found.anchor_date is None:
        raise ProviderRefused("SCHEDULE", "the plan tells no calendar that could be moved")
    local = bound(to.astimezone(found.anchor_date.tzinfo or UTC))
    body: dict[str, Any] = {
        "interval": found.interval,
        "interval_count": found.interval_count,
        "anchor_date": local.isoformat(),
        "total_recurrence": found.total_recurrence,
    }
    if found.total_retry and found.retry_interval_count:
        body |= {
            "retry_interval": "DAY",
            "retry_interval_count": found.retry_interval_count,
            "total_retry": found.total_retry,
            "failed_attempt_notifications": found.failed_attempt_notifications or [],
        }
    return body


def plan_options(terms: Terms) -> XenditOptions:
    """Xendit's options of these terms; raises `ProviderRefused` when they are another provider's."""
    options = terms.provider_options
    if not isinstance(options, XenditOptions):
        raise ProviderRefused("OPTIONS", f"these terms are for {terms.provider.value}")
    return options


def _common(request: PlanRequest, customer: str, timing: Timing) -> dict[str, Any]:
    """What both contracts call the same."""
    terms, options = request.terms, plan_options(request.terms)
    if timing.is_immediate and timing.total == 1:
        raise ProviderRefused("TOTAL", f"one charge, at once, needs no plan; {OTHER_WAY}")
    metadata = own_texts(terms.metadata, {SUBSCRIPTION: request.subscription, ACCOUNT: request.account})
    if len(metadata) > MOST_PAIRS:
        rule = f"Xendit's plans take {MOST_PAIRS} metadata pairs, two of them the engine's"
        raise ProviderRefused("METADATA", f"{rule}; collection engine has room for more")
    body: dict[str, Any] = {
        "reference_id": request.reference,
        "customer_id": customer,
        "currency": terms.currency,
        "amount": major(terms.amount, terms.currency),
        "failed_cycle_action": terms.failed_cycle_action.value,
        "description": terms.description[:MAX_DESCRIPTION],
        "metadata": metadata,
    }
    items = items_body(terms)
    if items is not None:
        body["items"] = items
    if options.payment_link_for_failed_attempt:
        body["payment_link_for_failed_attempt"] = True
    return body


def _ranked(request: PlanRequest) -> list[tuple[int, str]]:
    if len(request.method_tokens) > MOST_TOKENS:
        raise ProviderRefused("PAYMENT_TOKENS", f"a plan takes {MOST_TOKENS} tokens; leave the last ones out")
    return list(enumerate(request.method_tokens, 1))


def _notified(terms: Terms, retries: int) -> list[int]:
    """Which failed attempts Xendit tells of, where it is the one that tells. The last attempt has no number there."""
    if not plan_options(terms).notification_channels:
        return []
    given = terms.failed_attempt_notifications
    numbers = range(1, retries + 1) if given is None else given
    return sorted({one for one in numbers if one <= retries})


def _locale(terms: Terms) -> str:
    return (plan_options(terms).locale or terms.customer.locale)[:2].lower()
