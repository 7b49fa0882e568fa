"""What a plan that Xendit runs cannot express, beyond the calendar: each rule names the way that is left. SPEC 12."""

from __future__ import annotations

from collections.abc import Iterator

from dunning.domain.calendar import Interval
from dunning.domain.fields import BrokenRule
from dunning.domain.options import XenditOptions
from dunning.domain.terms import Collection, ImmediateAction, Occasion, Subscription

LEGACY_CURRENCIES = ("IDR", "PHP", "THB", "VND")
_OWN = (Occasion.CREATED, Occasion.SUCCEEDED, Occasion.FAILED)
_OTHER = "collection engine does it"


def plan_faults(subscription: Subscription) -> Iterator[BrokenRule]:
    """Everything about the terms that no plan of Xendit's can keep. Source: the sheet, A2.2, A4."""
    options = subscription.provider_options
    if not isinstance(options, XenditOptions) or subscription.collection is not Collection.PROVIDER:
        return
    yield from _retry_faults(subscription)
    yield from _sender_faults(subscription, options)
    if options.plan_id is None:
        yield from _making_faults(subscription, options)


def _retry_faults(subscription: Subscription) -> Iterator[BrokenRule]:
    """Nobody documents what happens when a cycle is still being retried as the next one falls due."""
    days, length = subscription.retry.days, subscription.schedule.shortest_period_days
    if subscription.schedule.on is not None:
        return  # refused by itself, and no plan has such periods
    if days and days[-1] + 1 >= length:
        rule = f"must end two days before the next cycle (a period has {length} days): Xendit cuts nothing off"
        yield BrokenRule("retry", f"{rule}; collection engine leaves such retries out", list(days))


def _sender_faults(subscription: Subscription, options: XenditOptions) -> Iterator[BrokenRule]:
    """One debt has one sender of notices. SPEC 12."""
    if not options.notification_channels:
        return
    for occasion in _OWN:
        if subscription.notifications.get(occasion):
            rule = "must be left out: provider_options.notification_channels lets Xendit tell it"
            yield BrokenRule(f"notifications.{occasion.value}", rule, occasion.value)


def _making_faults(subscription: Subscription, options: XenditOptions) -> Iterator[BrokenRule]:
    schedule = subscription.schedule
    if subscription.immediate_action is ImmediateAction.FULL_AMOUNT and schedule.total_cycles == 1:
        rule = f"must be 2 or more with immediate_action FULL_AMOUNT: one charge at once is no plan; {_OTHER}"
        yield BrokenRule("schedule.total_cycles", rule, 1)
    if len(subscription.payment_methods) > 5:
        rule = "must be at most 5: a plan of Xendit's takes no more; collection engine takes 20"
        yield BrokenRule("payment_methods", rule, len(subscription.payment_methods))
    if not options.legacy_plan:
        return
    if schedule.interval is Interval.YEAR:
        rule = "must not be YEAR with legacy_plan: give 12 MONTH, or leave legacy_plan out"
        yield BrokenRule("schedule.interval", rule, schedule.interval.value)
    if subscription.currency not in LEGACY_CURRENCIES:
        rule = f"must be one of {', '.join(LEGACY_CURRENCIES)} with legacy_plan; or leave legacy_plan out"
        yield BrokenRule("currency", rule, subscription.currency)
    if subscription.payment_methods:
        return
    for name in ("success_return_url", "failure_return_url"):
        if getattr(options, name) is None:
            rule = "must be given: the older contract's linking page leads back to it; or leave legacy_plan out"
            yield BrokenRule(f"provider_options.{name}", rule, None)
