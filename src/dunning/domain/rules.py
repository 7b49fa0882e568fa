"""Rules between fields of a subscription, each with the fields that it reads. SPEC 4, 11, 12.

A rule whose fields were refused already is not run: it would complain about a stand-in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dunning.domain.fields import BrokenRule
from dunning.domain.limits import Limits, limits_of
from dunning.domain.money import format_amount
from dunning.domain.options import DodoOptions, OmiseOptions, XenditOptions
from dunning.domain.plan_rules import PLAN_RULES, calendar_faults, too_soon
from dunning.domain.terms import (
    Collection,
    FailedCycleAction,
    ImmediateAction,
    Occasion,
    OnHardDecline,
    Role,
    Subscription,
)
from dunning.domain.xendit_rules import plan_faults


class Given(NamedTuple):
    """What rules look at: the subscription, and the instant (business time) from which it is to run."""

    subscription: Subscription
    at: datetime | None

    @property
    def limits(self) -> Limits:
        """The chosen provider's own."""
        return limits_of(self.subscription.provider.value, self.subscription.collection.value)


class Rule(NamedTuple):
    """A check, and the fields that it reads."""

    check: Callable[[Given], Iterator[BrokenRule]]
    reads: tuple[str, ...]


RULES: list[Rule] = []

Check = Callable[[Given], Iterator[BrokenRule]]


def _reads(*fields: str) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        RULES.append(Rule(check, fields))
        return check

    return register


@_reads("items.*.role")
def _one_base_item(given: Given) -> Iterator[BrokenRule]:
    bases = sum(1 for item in given.subscription.items if item.role is Role.BASE)
    if bases != 1:
        yield BrokenRule("items", "must hold exactly one item with role base", f"{bases} base items")


@_reads("items.*.product_id")
def _each_product_once(given: Given) -> Iterator[BrokenRule]:
    yield from _repeated("items", "product_id", [item.product_id for item in given.subscription.items])


@_reads("payment_methods.*.token")
def _each_method_once(given: Given) -> Iterator[BrokenRule]:
    yield from _repeated("payment_methods", "token", [m.token for m in given.subscription.payment_methods])


def _repeated(field: str, name: str, values: list[str]) -> Iterator[BrokenRule]:
    counts = Counter(values)
    seen: set[str] = set()
    for place, value in enumerate(values):
        if counts[value] > 1 and value in seen:
            yield BrokenRule(f"{field}.{place}.{name}", "must be unique", value)
        seen.add(value)


@_reads("payment_methods.*.expires", "created_at")
def _a_method_is_still_valid(given: Given) -> Iterator[BrokenRule]:
    methods = given.subscription.payment_methods
    at = given.at or given.subscription.created_at
    if methods and at is not None and all(method.is_expired(at) for method in methods):
        rule = f"must hold a method that has not expired by {at:%Y-%m-%d}"
        yield BrokenRule("payment_methods", rule, [method.expires for method in methods])


@_reads("customer.time_zone")
def _the_zone_exists(given: Given) -> Iterator[BrokenRule]:
    zone = given.subscription.customer.time_zone
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        yield BrokenRule("customer.time_zone", "must be a zone of the IANA database, like Asia/Jakarta", zone)


@_reads("notifications", "customer.email", "customer.phone", "customer.opt_in")
def _notices_can_arrive(given: Given) -> Iterator[BrokenRule]:
    contacts = given.subscription.contacts()
    for occasion, channels in given.subscription.notifications.items():
        if len(set(channels)) < len(channels):
            yield BrokenRule(f"notifications.{occasion.value}", "must name each channel once", list(channels))
        if channels and not any(contacts.reach(channel) for channel in channels):
            rule = (
                "needs a reachable channel: EMAIL takes customer.email; WHATSAPP and SMS take customer.phone "
                "and customer.opt_in for that channel"
            )
            yield BrokenRule(f"notifications.{occasion.value}", rule, [channel.value for channel in channels])


@_reads("notifications", "notice_before_charge_hours")
def _the_notice_before_a_charge_has_a_channel(given: Given) -> Iterator[BrokenRule]:
    """It is the precondition of the charge, so it must be able to leave. SPEC 11."""
    subscription = given.subscription
    hours = subscription.notice_before_charge_hours
    if hours is not None and not subscription.notifications.get(Occasion.UPCOMING_CHARGE):
        rule = "must name a channel: notice_before_charge_hours makes this notice a precondition of charging"
        yield BrokenRule("notifications.upcoming_charge", rule, None)


@_reads("failed_attempt_notifications", "retry")
def _told_attempts_exist(given: Given) -> Iterator[BrokenRule]:
    told = given.subscription.failed_attempt_notifications or ()
    allowed = given.subscription.retry.attempts_allowed
    for place, number in enumerate(told):
        if number > allowed:
            rule = f"must be an attempt that can happen: 1 to {allowed}"
            yield BrokenRule(f"failed_attempt_notifications.{place}", rule, number)
        elif number in told[:place]:
            yield BrokenRule(f"failed_attempt_notifications.{place}", "must be unique", number)


# --- the provider's side ---------------------------------------------------------------------------


@_reads("provider", "provider_options")
def _options_are_the_providers(given: Given) -> Iterator[BrokenRule]:
    provider = given.subscription.provider.value
    if given.subscription.provider_options.provider != provider:
        rule = f"must be the options of {provider}"
        yield BrokenRule("provider_options.provider", rule, given.subscription.provider_options.provider)


@_reads("provider", "collection")
def _who_collects(given: Given) -> Iterator[BrokenRule]:
    collection = given.subscription.collection.value
    if collection not in given.limits.collections:
        rule = f"must be {' or '.join(given.limits.collections)} for {given.subscription.provider.value}"
        yield BrokenRule("collection", rule, collection)


@_reads("collection", "on_hard_decline", "failed_cycle_action")
def _fail_cycle_stops_the_providers_plan(given: Given) -> Iterator[BrokenRule]:
    subscription = given.subscription
    is_failing = subscription.on_hard_decline is OnHardDecline.FAIL_CYCLE
    is_stopping = subscription.failed_cycle_action is FailedCycleAction.STOP
    if subscription.collection is Collection.PROVIDER and is_failing and not is_stopping:
        rule = "FAIL_CYCLE with collection provider needs failed_cycle_action STOP"
        yield BrokenRule("on_hard_decline", rule, subscription.on_hard_decline.value)


@_reads("provider", "currency")
def _the_provider_takes_the_currency(given: Given) -> Iterator[BrokenRule]:
    currencies = given.limits.currencies
    if currencies is not None and given.subscription.currency not in currencies:
        rule = f"must be a currency that {given.subscription.provider.value} takes"
        yield BrokenRule("currency", rule, given.subscription.currency)


@_reads("provider", "currency", "items.*.quantity", "items.*.unit_amount")
def _the_provider_takes_the_amount(given: Given) -> Iterator[BrokenRule]:
    currency = given.subscription.currency
    yield from amount_faults(given.limits, given.subscription.amount, currency, "items")


def amount_faults(limits: Limits, amount: int, currency: str, field: str) -> Iterator[BrokenRule]:
    """What is wrong with an amount (minor units) at a provider."""
    least = limits.least(currency)
    if amount < least:
        yield BrokenRule(field, f"must come to at least {format_amount(least, currency)}", amount)
    if amount > limits.max_amount:
        yield BrokenRule(field, f"must come to at most {format_amount(limits.max_amount, currency)}", amount)
    if amount % limits.step(currency):
        yield BrokenRule(field, f"must be whole {currency}: this provider takes no smaller unit", amount)


@_reads("provider", "items.*.grace_days", "items.*.hold_days")
def _items_have_recovery_periods(given: Given) -> Iterator[BrokenRule]:
    """Where the provider states access, each item has its own; elsewhere the subscription has one. SPEC 4, 8."""
    rules = PLAN_RULES.get(given.subscription.provider.value)
    for place, item in enumerate(given.subscription.items):
        grace, hold = item.grace_days, item.hold_days
        if grace is None and hold is None:
            continue
        if rules is None or not rules.owns_access:
            field = "grace_days" if grace is not None else "hold_days"
            yield BrokenRule(
                f"items.{place}.{field}", "must not be given: this provider has none per item", grace or hold
            )
        elif grace is not None and hold is not None and not 30 <= grace + hold <= 60:
            yield BrokenRule(f"items.{place}.hold_days", "must be 30 to 60 days together with grace_days", hold)


@_reads("provider", "collection", "metadata")
def _the_provider_takes_the_metadata(given: Given) -> Iterator[BrokenRule]:
    limits, metadata = given.limits, given.subscription.metadata
    if len(metadata) > limits.metadata_pairs:
        rule = f"must hold at most {limits.metadata_pairs} pairs for {given.subscription.provider.value}"
        yield BrokenRule("metadata", f"{rule}{limits.metadata_because}", f"{len(metadata)} pairs")
    for key, value in metadata.items():
        if key in limits.reserved_keys:
            yield BrokenRule(f"metadata.{key}", "is a key that the engine writes itself", value)
        if len(key) > limits.metadata_key or (isinstance(value, str) and len(value) > limits.metadata_value):
            rule = f"must be at most {limits.metadata_key} (key) and {limits.metadata_value} (value) characters"
            yield BrokenRule(f"metadata.{key}", rule, value)


@_reads("provider", "provider_options", "collection", "schedule", "immediate_action", "created_at")
def _the_provider_can_follow_the_calendar(given: Given) -> Iterator[BrokenRule]:
    """Only where the provider runs the calendar; ours follows any."""
    subscription = given.subscription
    plans = PLAN_RULES.get(subscription.provider.value)
    if subscription.collection is not Collection.PROVIDER or plans is None:
        return
    is_immediate = subscription.immediate_action is ImmediateAction.FULL_AMOUNT
    yield from calendar_faults(plans, subscription.schedule, is_immediate=is_immediate)
    at = given.at or subscription.created_at
    if at is not None and subscription.adopted_plan is None:
        yield from too_soon(plans, subscription.schedule, at)


@_reads("provider", "collection", "retry")
def _the_provider_sets_the_time(given: Given) -> Iterator[BrokenRule]:
    """Only where the provider runs the calendar: an instant of its own cannot be moved by us."""
    subscription = given.subscription
    if subscription.collection is Collection.PROVIDER and subscription.retry.spread_seconds:
        rule = "must be 0: the provider sets the time of day; collection engine spreads it"
        yield BrokenRule("retry.spread_seconds", rule, subscription.retry.spread_seconds)


@_reads("provider", "collection", "notice_before_charge_hours")
def _the_provider_waits_for_no_notice(given: Given) -> Iterator[BrokenRule]:
    subscription = given.subscription
    if subscription.collection is Collection.PROVIDER and subscription.notice_before_charge_hours is not None:
        rule = "must be left out: the provider charges whether or not our notice has arrived; collection engine waits"
        yield BrokenRule("notice_before_charge_hours", rule, subscription.notice_before_charge_hours)


@_reads("provider", "collection", "retry")
def _the_provider_can_space_the_retries(given: Given) -> Iterator[BrokenRule]:
    """Only where the provider runs the retries; ours are spaced as asked."""
    most, days = given.limits.even_retries, given.subscription.retry.days
    if most is None:
        return
    provider = given.subscription.provider.value
    if any(day != days[0] * rung for rung, day in enumerate(days, start=1)):
        rule = f"must be evenly spaced, as {provider} spaces them: give interval, interval_count and total"
        yield BrokenRule("retry", f"{rule}; collection engine keeps any ladder", list(days))
    if len(days) > most:
        yield BrokenRule("retry", f"must be at most {most} for {provider}; collection engine keeps more", len(days))


@_reads(
    "provider",
    "collection",
    "provider_options",
    "payment_methods",
    "currency",
    "schedule",
    "retry",
    "immediate_action",
    "notifications",
)
def _xendit_can_run_the_plan(given: Given) -> Iterator[BrokenRule]:
    yield from plan_faults(given.subscription)


@_reads("provider", "provider_options", "payment_methods", "customer.email")
def _dodo_can_charge(given: Given) -> Iterator[BrokenRule]:
    options = given.subscription.dodo_options
    if options is None:
        return
    if given.subscription.payment_methods:
        if options.subscription_id is None:
            rule = "must name the mandate that the payment methods belong to"
            yield BrokenRule("provider_options.subscription_id", rule, None)
    else:
        yield from _dodo_can_make_a_link(given.subscription, options)


def _dodo_can_make_a_link(subscription: Subscription, options: DodoOptions) -> Iterator[BrokenRule]:
    if options.subscription_id is not None:
        rule = "must hold the method of the mandate that provider_options.subscription_id names"
        yield BrokenRule("payment_methods", rule, [])
    if subscription.customer.email is None and options.customer_id is None:
        rule = "must be given when there is no payment method yet (or provider_options.customer_id)"
        yield BrokenRule("customer.email", rule, None)


@_reads("provider", "provider_options", "payment_methods", "immediate_action", "schedule", "items")
def _the_page_takes_cycle_1(given: Given) -> Iterator[BrokenRule]:
    """A first price on the mandate's page is attempt 1 of cycle 1, so it is due there and then. SPEC 12."""
    subscription, options = given.subscription, given.subscription.dodo_options
    field = "provider_options.mandate_only"
    if options is None:
        return
    if options.mandate_only:
        if options.first_price is not None:
            rule = "must be left out, or mandate_only be false: such a mandate charges nothing"
            yield BrokenRule("provider_options.first_price", rule, options.first_price)
        return
    if subscription.payment_methods:
        yield BrokenRule(field, "must be true: there is a payment method, so no page is opened", False)
    schedule = subscription.schedule
    is_later = schedule.trial_ends_at is not None or schedule.start_at is not None
    if subscription.immediate_action is not ImmediateAction.FULL_AMOUNT or is_later:
        rule = "must be true: only what is due at once can be paid on the page (FULL_AMOUNT, no trial, no start_at)"
        yield BrokenRule(field, rule, False)
    if options.first_price not in (None, subscription.amount):
        rule = f"must be what cycle 1 costs, {subscription.amount}"
        yield BrokenRule("provider_options.first_price", rule, options.first_price)


@_reads("provider", "provider_options", "payment_methods")
def _the_provider_knows_who_pays(given: Given) -> Iterator[BrokenRule]:
    """Where no link lets the customer authorise, a token has to exist already."""
    subscription = given.subscription
    options = subscription.provider_options
    has_token = isinstance(options, OmiseOptions) and (options.card_token or options.schedule_id)
    needs_method = not given.limits.makes_mandate_links and given.limits.charges_methods and not has_token
    if needs_method and not subscription.payment_methods:
        rule = f"must hold at least one: {subscription.provider.value} has no mandate link to complete"
        yield BrokenRule("payment_methods", rule, [])


@_reads("provider", "collection", "provider_options", "payment_methods")
def _omise_can_charge(given: Given) -> Iterator[BrokenRule]:
    """Either cards of a customer who exists, or one token of which a card is made."""
    subscription, options = given.subscription, given.subscription.provider_options
    if not isinstance(options, OmiseOptions):
        return
    if options.schedule_id is not None and subscription.collection is Collection.ENGINE:
        rule = "is a calendar that Omise runs: needs collection provider"
        yield BrokenRule("provider_options.schedule_id", rule, options.schedule_id)
    if subscription.payment_methods and options.card_token is not None:
        rule = "must not be given together with payment_methods: it becomes the first of them"
        yield BrokenRule("provider_options.card_token", rule, options.card_token)
    elif subscription.payment_methods and options.customer_id is None:
        rule = "must name the customer whom the payment methods belong to"
        yield BrokenRule("provider_options.customer_id", rule, None)


@_reads("provider", "collection", "provider_options", "payment_methods", "currency")
def _a_link_says_where_it_is_for(given: Given) -> Iterator[BrokenRule]:
    """A hosted page is of one country, which not every currency tells."""
    subscription, options, limits = given.subscription, given.subscription.provider_options, given.limits
    is_linked = subscription.collection is Collection.ENGINE and not subscription.payment_methods
    if not isinstance(options, XenditOptions) or not is_linked:
        return
    currency, takes = subscription.currency, limits.link_currencies
    if takes is not None and currency not in takes and options.channel_code is None:
        rule = (
            f"must be one of {', '.join(sorted(takes))} where a customer authorises on a hosted page; or give a token"
        )
        yield BrokenRule("currency", rule, currency)
    elif options.country is None and currency not in limits.countries:
        rule = f"must be given: {currency} does not tell in which country the customer authorises"
        yield BrokenRule("provider_options.country", rule, None)
