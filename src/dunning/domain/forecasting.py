"""What was read of a purchase against what the model of recovery periods forecasts; a difference is shown. SPEC 12.

Access, `show` and events use what was read and nothing else. A difference means that the lengths in the terms are not
those of the Play Console, or that Google does something that its rules do not say: a person should look.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from dunning.domain.foreseen_purchase import later
from dunning.domain.plans import ItemStanding, PlanPhase, PlanStanding, PlanState
from dunning.domain.recovery_period import Decline, HeldItem, ItemFuture, Phase, declined, not_recovered, recovered
from dunning.domain.step import Step
from dunning.domain.terms import Role, Terms

TOLERANCE = timedelta(days=2)
"""Google decides to the day, the charge may lie a day from the expiry, and a lost message is made up for in a day."""
_DECLINED = (PlanPhase.GRACE, PlanPhase.HOLD)
_MODEL = {PlanPhase.GRACE: Phase.GRACE, PlanPhase.HOLD: Phase.HOLD}


def compare(step: Step, standing: PlanStanding) -> None:
    """Forecast at the first read of a decline; from then on raise attention where what is read differs."""
    plan = step.s.plan
    if plan is None or standing.phase is None:
        return
    is_declined = standing.phase in _DECLINED
    if is_declined and plan.phase not in _DECLINED:
        plan = plan.but(decline=forecast(step.s.terms, plan.paid_items, step.now))
    elif standing.phase is PlanPhase.ACTIVE:
        plan = plan.but(paid_items=_paid(plan, standing))
    step.set(plan=plan)
    if plan.decline is None:
        return
    said = _of_phase(plan.decline, standing, step.now) if is_declined else _of_items(plan.decline, standing, step.now)
    if said is not None:
        step.attend(f"read of the provider, and other than forecast: {said}")
    if said is not None or not is_declined:
        step.set(plan=plan.but(decline=None))


def forget(step: Step, standing: PlanStanding | None) -> None:
    """A command of ours ended the decline: what follows from it was not forecast."""
    plan = step.s.plan
    if plan is not None and standing is not None and standing.phase not in _DECLINED:
        step.set(plan=plan.but(decline=None))


def _paid(plan: PlanState, standing: PlanStanding) -> tuple[ItemStanding, ...]:
    """Active and past its expiry, an item is being renewed: what it was paid up to is what was read before."""
    known = {one.product_id: one.until for one in plan.paid_items}
    return tuple(one.but(until=one.until or known.get(one.product_id)) for one in standing.items)


def forecast(terms: Terms, items: Sequence[ItemStanding], now: datetime) -> Decline | None:
    """The decline as the model has it; None where an item's lengths are unknown, or nothing was to renew.

    `items`: what was read before: what each was paid up to.
    """
    base = next(one.product_id for one in terms.items if one.role is Role.BASE)
    lengths = {one.product_id: (one.grace_days, one.hold_days) for one in terms.items}
    due = [one.until for one in items if one.until is not None and one.until <= now and one.is_renewing]
    if not due:
        return None
    at = max(due)
    end = next((one.until for one in items if one.product_id == base), None)
    found = []
    for item in items:
        grace, hold = lengths.get(item.product_id, (None, None))
        if item.until is None or grace is None or hold is None:
            return None
        paid_until = at if item.is_renewing and item.until <= now else item.until
        is_aligned = item.product_id != base and end is not None and end > paid_until
        period = later(paid_until, terms.schedule.interval, terms.schedule.interval_count)
        found.append(
            HeldItem(
                product_id=item.product_id,
                grace_days=grace,
                hold_days=hold,
                paid_until=paid_until,
                renews_to=end if is_aligned and end is not None else period,
                is_removed=not item.is_renewing,
            )
        )
    return declined(found, at)


def _of_phase(decline: Decline, standing: PlanStanding, now: datetime) -> str | None:
    """Grace or hold at a time at which the model has something else, for longer than the tolerance."""
    stated = standing.phase or PlanPhase.HOLD
    around = {decline.phase(at) for at in (now - TOLERANCE, now, now + TOLERANCE)}
    if _MODEL[stated] in around:
        return None
    return f"{stated.value}, where {decline.phase(now).value} was forecast"


def _of_items(decline: Decline, standing: PlanStanding, now: datetime) -> str | None:
    """What each item gives after the decline; one that is over altogether is looked at too."""
    if standing.phase is PlanPhase.PAUSED:
        return None
    if standing.phase is PlanPhase.ACTIVE:
        if now >= decline.hold_until + TOLERANCE:
            return "recovered, where the hold was over"
        latest = decline.hold_until - timedelta(seconds=1)
        futures = recovered(decline, min(max(now, decline.declined_at), latest))
    else:
        futures = not_recovered(decline, max(now, decline.declined_at))
    return next((said for one in futures if (said := _of_item(one, standing.items, now)) is not None), None)


def _of_item(future: ItemFuture, read: Sequence[ItemStanding], now: datetime) -> str | None:
    stated = next((one.until for one in read if one.product_id == future.product_id), None)
    wanted = future.until if future.until is not None and future.until > now else None
    if abs((stated or now) - (wanted or now)) <= TOLERANCE:
        return None
    return f"item {future.product_id} {_words(stated)}, where it {_words(wanted)} was forecast"


def _words(until: datetime | None) -> str:
    return "gives nothing" if until is None else f"gives access to {until:%Y-%m-%d}"
