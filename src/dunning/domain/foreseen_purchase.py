"""A purchase whose provider bills and states access by itself, as its published rules have it. SPEC 12, 17.

For `preview`: pure, and never a source of access. Grace and hold are `recovery_period`; what is read of the
provider wins everywhere else, and where it differs from this model, a person is told (`forecasting`).

Every instant is UTC, every amount minor units.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pydantic import Field

from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.base import Value
from dunning.domain.calendar import Interval
from dunning.domain.declines import DeclineClass
from dunning.domain.months import later_month
from dunning.domain.plans import (
    CycleStanding,
    ItemStanding,
    MoveNext,
    PlanChange,
    PlanCycleStatus,
    PlanPhase,
    PlanStanding,
    PlanStatus,
    RefundOrder,
    RevokeAccess,
    StopRenewals,
    TryKind,
    TryStanding,
)
from dunning.domain.prorate import prorated_at
from dunning.domain.recovery_period import Decline, HeldItem, ItemFuture, declined, not_recovered, recovered
from dunning.domain.terms import Item, Role, Terms

LONGEST_RECOVERY = 60
"""Days of grace and hold together, where an item does not say."""
_LIVE = (PlanPhase.ACTIVE, PlanPhase.GRACE)
_DECLINED = (PlanPhase.GRACE, PlanPhase.HOLD)


class ForeseenItem(Value):
    """One item. `until`: the end of what is paid for, or given in a trial."""

    product_id: str
    amount: int
    until: datetime
    is_base: bool = False
    is_in_trial: bool = False
    is_renewing: bool = True
    grace_days: int = 0
    hold_days: int = 30


class ForeseenOrder(Value):
    """One order. `tried_at`: when it was paid, or declined."""

    number: int
    amount: int
    tried_at: datetime
    is_paid: bool = True


class NewItem(Value):
    """An add-on that the customer buys later. `trial_days`: free at first."""

    product_id: str
    unit_amount: int = Field(ge=0)
    quantity: int = Field(default=1, ge=1)
    trial_days: int = Field(default=0, ge=0)
    grace_days: int | None = Field(default=None, ge=0, le=30)
    hold_days: int | None = Field(default=None, ge=0, le=60)


class ForeseenPurchase(Value):
    """A purchase at one instant of its life. `since`: when its first period began; `order`: the latest one."""

    plan_id: str
    currency: str
    interval: Interval
    interval_count: int
    since: datetime
    items: tuple[ForeseenItem, ...]
    phase: PlanPhase = PlanPhase.ACTIVE
    decline: Decline | None = None
    order: ForeseenOrder | None = None
    orders: int = 0
    is_by_user: bool = False

    @property
    def base(self) -> ForeseenItem:
        """The item that add-ons are aligned to."""
        return next((one for one in self.items if one.is_base), self.items[0])

    @property
    def next_at(self) -> datetime | None:
        """When something happens by itself; None: never again."""
        if self.phase is PlanPhase.GRACE and self.decline is not None:
            return self.decline.grace_until
        if self.phase is PlanPhase.HOLD and self.decline is not None:
            return self.decline.hold_until
        ends = [one.until for one in self.items]
        if self.phase is PlanPhase.ENDING:
            return max(ends, default=None)
        return min(ends, default=None) if self.phase is PlanPhase.ACTIVE else None


def bought(terms: Terms, plan_id: str, at: datetime) -> ForeseenPurchase:
    """The purchase that a subscription follows from `at` on: all its items, the first period paid or in trial."""
    schedule = terms.schedule
    start, end = _period_around(terms, at)
    trial = schedule.trial_ends_at
    is_trial = trial is not None and trial > at
    until = trial if trial is not None and is_trial else end
    purchase = ForeseenPurchase(
        plan_id=plan_id,
        currency=terms.currency,
        interval=schedule.interval,
        interval_count=schedule.interval_count,
        since=start,
        items=tuple(_item(one, until, is_in_trial=is_trial) for one in terms.items),
    )
    return purchase if is_trial else _ordered(purchase, terms.amount, start)


def needs_charge(purchase: ForeseenPurchase, at: datetime) -> bool:
    """Whether a renewal is tried at `at`."""
    return purchase.phase is PlanPhase.ACTIVE and any(one.is_renewing and one.until <= at for one in purchase.items)


def lived(purchase: ForeseenPurchase, at: datetime, *, is_paid: bool = True) -> ForeseenPurchase:
    """The purchase after what happens by itself at `at`. `is_paid`: what a renewal comes to, if one is tried."""
    if purchase.phase is PlanPhase.GRACE:
        return purchase.but(phase=PlanPhase.HOLD)
    if purchase.phase is PlanPhase.HOLD:
        return _stopped(purchase, at)
    kept = tuple(one for one in purchase.items if one.is_renewing or one.until > at)
    if not kept:
        return purchase.but(phase=PlanPhase.OVER)
    if purchase.phase is PlanPhase.ACTIVE:
        purchase = purchase.but(items=kept)
    if not needs_charge(purchase, at):
        return purchase
    return _renewed(purchase, at) if is_paid else _declined(purchase, at)


def repaired(purchase: ForeseenPurchase, at: datetime) -> ForeseenPurchase:
    """The customer's payment works again: what is owed is paid now. Nothing owed: nothing changes."""
    if purchase.decline is None or purchase.order is None or at >= purchase.decline.hold_until:
        return purchase
    futures = recovered(purchase.decline, at)
    charged = {one.product_id for one in futures if one.charged_at is not None}
    amount = sum(price(purchase, one) for one in purchase.items if one.product_id in charged)
    after = _settled(purchase, futures, at)
    items = tuple(one.but(is_in_trial=one.is_in_trial and one.product_id not in charged) for one in after.items)
    paid = purchase.order.but(amount=amount, tried_at=at, is_paid=True)
    return after.but(items=items, phase=PlanPhase.ACTIVE, decline=None, order=paid)


def with_item(purchase: ForeseenPurchase, new: NewItem, at: datetime) -> ForeseenPurchase:
    """Another add-on: given for its trial, or charged at once up to the base item's renewal."""
    amount = new.unit_amount * new.quantity
    grace = new.grace_days or 0
    hold = new.hold_days if new.hold_days is not None else LONGEST_RECOVERY - grace
    trial = new.trial_days > 0
    item = ForeseenItem(
        product_id=new.product_id,
        amount=amount,
        until=at + timedelta(days=new.trial_days) if trial else purchase.base.until,
        is_in_trial=trial,
        grace_days=grace,
        hold_days=hold,
    )
    after = purchase.but(items=(*purchase.items, item))
    return after if trial else _ordered(after, _aligned(after, item, at), at)


def changed(purchase: ForeseenPurchase, change: PlanChange | None, at: datetime) -> ForeseenPurchase:
    """The purchase after a command was carried out there; what it has no such call for changes nothing."""
    if isinstance(change, StopRenewals):
        return _stopped(purchase, at).but(is_by_user=change.is_by_user)
    if isinstance(change, MoveNext):
        by = change.to - max(one.until for one in purchase.items)
        return purchase.but(items=tuple(one.but(until=one.until + by) for one in purchase.items))
    if isinstance(change, RevokeAccess):
        return _revoked(purchase, change.product_id, at)
    if isinstance(change, RefundOrder) and change.revokes:
        return _revoked(purchase, None, at)
    return purchase


def price(purchase: ForeseenPurchase, item: ForeseenItem) -> int:
    """What the item's next charge costs: a period, or only the days up to the base item's renewal."""
    return _aligned(purchase, item, item.until) if _is_aligned(purchase, item) else item.amount


def standing(purchase: ForeseenPurchase, at: datetime) -> PlanStanding:
    """What a read at `at` would find, in the words of a provider that states access."""
    given = {one.product_id: _given(purchase, one, at) for one in purchase.items}
    ends = [until for until in given.values() if until is not None]
    is_over = purchase.phase is PlanPhase.OVER
    return PlanStanding(
        plan_id=purchase.plan_id,
        status=PlanStatus.ENDED if is_over else PlanStatus.ACTIVE,
        phase=purchase.phase,
        is_by_user=purchase.is_by_user,
        cycles=(_cycle(purchase, purchase.order),) if purchase.order is not None else (),
        method_token=purchase.plan_id,
        next_due=_next_due(purchase, ends),
        access_until=max(ends, default=None),
        items=tuple(
            ItemStanding(product_id=one.product_id, until=given[one.product_id], is_renewing=one.is_renewing)
            for one in purchase.items
        ),
        because=f"foreseen: {purchase.phase.value}",
    )


def later(at: datetime, interval: Interval, count: int) -> datetime:
    """`count` periods later (or earlier). A day that the month lacks is its last one, and stays so from then on."""
    if interval in (Interval.DAY, Interval.WEEK):
        return at + timedelta(days=count * (7 if interval is Interval.WEEK else 1))
    months = count * (12 if interval is Interval.YEAR else 1)
    return datetime.combine(later_month(at.date(), months), at.timetz())


# --- helpers ---------------------------------------------------------------------------------------


def _period_around(terms: Terms, at: datetime) -> tuple[datetime, datetime]:
    """The period that `at` lies in, by the anchor; one that lies ahead is the end of the first period."""
    schedule = terms.schedule
    start = schedule.anchor_at.astimezone(UTC)
    if start > at:
        return at, start
    end = later(start, schedule.interval, schedule.interval_count)
    while end <= at:
        start, end = end, later(end, schedule.interval, schedule.interval_count)
    return start, end


def _item(item: Item, until: datetime, *, is_in_trial: bool) -> ForeseenItem:
    grace = item.grace_days or 0
    return ForeseenItem(
        product_id=item.product_id,
        amount=item.quantity * item.unit_amount,
        until=until,
        is_base=item.role is Role.BASE,
        is_in_trial=is_in_trial,
        grace_days=grace,
        hold_days=item.hold_days if item.hold_days is not None else LONGEST_RECOVERY - grace,
    )


def _renews_to(purchase: ForeseenPurchase, item: ForeseenItem) -> datetime:
    if _is_aligned(purchase, item):
        return purchase.base.until
    return later(item.until, purchase.interval, purchase.interval_count)


def _is_aligned(purchase: ForeseenPurchase, item: ForeseenItem) -> bool:
    base = purchase.base
    return item is not base and base.is_renewing and base.until > item.until


def _aligned(purchase: ForeseenPurchase, item: ForeseenItem, at: datetime) -> int:
    end = purchase.base.until
    # From the 31st to the 30th is a month too; a month before the 30th would be the 30th.
    start = max(later(end, purchase.interval, -purchase.interval_count), purchase.since)
    return prorated_at(item.amount, start, end, min(max(at, start), end - timedelta(seconds=1)), UTC)


def _due(purchase: ForeseenPurchase, at: datetime) -> tuple[ForeseenItem, ...]:
    return tuple(one for one in purchase.items if one.is_renewing and one.until <= at)


def _ordered(purchase: ForeseenPurchase, amount: int, at: datetime, *, is_paid: bool = True) -> ForeseenPurchase:
    order = ForeseenOrder(number=purchase.orders + 1, amount=amount, tried_at=at, is_paid=is_paid)
    return purchase.but(order=order, orders=order.number)


def _renewed(purchase: ForeseenPurchase, at: datetime) -> ForeseenPurchase:
    due = _due(purchase, at)
    amount = sum(price(purchase, one) for one in due)
    ends = {one.product_id: _renews_to(purchase, one) for one in due}
    items = tuple(
        one.but(until=ends[one.product_id], is_in_trial=False) if one.product_id in ends else one
        for one in purchase.items
    )
    return _ordered(purchase.but(items=items), amount, at)


def _declined(purchase: ForeseenPurchase, at: datetime) -> ForeseenPurchase:
    decline = declined(tuple(held(purchase, one) for one in purchase.items), at)
    if decline is None:
        return purchase.but(phase=PlanPhase.OVER)
    phase = PlanPhase.GRACE if decline.chosen.grace_days else PlanPhase.HOLD
    amount = sum(price(purchase, one) for one in _due(purchase, at))
    return _ordered(purchase.but(decline=decline, phase=phase), amount, at, is_paid=False)


def held(purchase: ForeseenPurchase, item: ForeseenItem) -> HeldItem:
    """The item as the rules of recovery periods look at it."""
    return HeldItem(
        product_id=item.product_id,
        grace_days=item.grace_days,
        hold_days=item.hold_days,
        paid_until=item.until,
        renews_to=_renews_to(purchase, item),
        is_removed=not item.is_renewing,
    )


def _settled(purchase: ForeseenPurchase, futures: Iterable[ItemFuture], at: datetime) -> ForeseenPurchase:
    ends = {one.product_id: one.until for one in futures}
    return purchase.but(
        items=tuple(one.but(until=ends[one.product_id] or min(one.until, at)) for one in purchase.items)
    )


def _stopped(purchase: ForeseenPurchase, at: datetime) -> ForeseenPurchase:
    """It renews no more; what was declined is lost, what is left of the others is had to its end."""
    if purchase.decline is not None:
        purchase = _settled(purchase, not_recovered(purchase.decline, at), at).but(decline=None)
    items = tuple(one.but(is_renewing=False) for one in purchase.items)
    has_time = any(one.until > at for one in items)
    order = None if purchase.order is None or not purchase.order.is_paid else purchase.order
    phase = PlanPhase.ENDING if has_time else PlanPhase.OVER
    return purchase.but(items=items, phase=phase, order=order)


def _revoked(purchase: ForeseenPurchase, product_id: str | None, at: datetime) -> ForeseenPurchase:
    kept = tuple(one for one in purchase.items if product_id is not None and one.product_id != product_id)
    if any(one.until > at for one in kept):
        return purchase.but(items=kept)
    items = tuple(one.but(is_renewing=False, until=min(one.until, at)) for one in purchase.items)
    return purchase.but(items=items, phase=PlanPhase.OVER, decline=None)


def _given(purchase: ForeseenPurchase, item: ForeseenItem, at: datetime) -> datetime | None:
    if purchase.phase not in (*_LIVE, PlanPhase.ENDING):
        return None
    until = item.until
    if purchase.phase is PlanPhase.GRACE and purchase.decline is not None:
        until = max(until, purchase.decline.grace_until)
    return until if at < until else None


def _next_due(purchase: ForeseenPurchase, ends: list[datetime]) -> tuple[datetime, ...]:
    if purchase.phase in _DECLINED:
        return (purchase.next_at,) if purchase.next_at is not None else ()
    return tuple(sorted(set(ends)))


def _cycle(purchase: ForeseenPurchase, order: ForeseenOrder) -> CycleStanding:
    kind = OutcomeKind.SUCCEEDED if order.is_paid else OutcomeKind.DECLINED
    payment = f"{purchase.plan_id}/{order.number}"
    outcome = Outcome(kind=kind, at=order.tried_at, provider_payment_id=payment)
    if not order.is_paid:
        code = "IN_GRACE_PERIOD" if purchase.phase is PlanPhase.GRACE else "ON_HOLD"
        outcome = outcome.but(raw_code=code, klass=DeclineClass.SOFT)
    return CycleStanding(
        cycle_id=payment,
        due_at=order.tried_at,
        status=PlanCycleStatus.PAID if order.is_paid else PlanCycleStatus.RETRYING,
        amount=order.amount,
        currency=purchase.currency,
        tries=(TryStanding(number=1, kind=TryKind.DUE, at=order.tried_at, outcome=outcome),),
    )
