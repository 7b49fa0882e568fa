"""What differs between two readings of a plan that states access (Play): items, prices, refunds, deferrals. SPEC 12.

Nothing is computed about access. What another party did, or our own command, is found by comparing what was read
before with what is read now; so it is told once, however often it is read and however many messages were lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from dunning.domain import refunding
from dunning.domain.commands import Command
from dunning.domain.messages import EventType
from dunning.domain.plans import ItemStanding, PlanPhase, PlanStanding, PlanState, PriceStanding, RefundStanding
from dunning.domain.play_prices import PriceChangeMode, PriceChangeState
from dunning.domain.step import Step
from dunning.domain.tables import SubscriptionStatus

MAX_REFUNDED = 50
BY_CUSTOMER = "the customer changed the purchase"
AT_PROVIDER = "the items changed at the provider"
_S = SubscriptionStatus
_CLOSED = frozenset({PlanPhase.HOLD, PlanPhase.PAUSED})
"""No item gives access, and each has it again afterwards."""
_LIVE = frozenset({PlanPhase.ACTIVE, PlanPhase.GRACE}) | _CLOSED
_COMPARED = _LIVE | {PlanPhase.ENDING}
_A_DAY = timedelta(days=1)
_KINDS = {
    PriceChangeMode.PRICE_INCREASE: "increase",
    PriceChangeMode.OPT_OUT_PRICE_INCREASE: "opt_out_increase",
    PriceChangeMode.PRICE_DECREASE: "decrease",
}
_EVENTS = {
    PriceChangeState.CONFIRMED: EventType.PRICE_CHANGE_CONFIRMED,
    PriceChangeState.APPLIED: EventType.PRICE_CHANGE_APPLIED,
}


def take_changes(step: Step, standing: PlanStanding) -> None:
    """Tell what changed since the last reading; the state still holds that one."""
    plan = step.s.plan
    if plan is None or standing.phase is None:
        return
    before = {one.product_id: one for one in plan.items}
    after = {one.product_id: one for one in standing.items}
    if not step.s.is_ended:
        _take_prices(step, before, after)
    if before and plan.phase in _COMPARED and standing.phase in _COMPARED:
        _take_items(step, plan, before, after, standing.phase)
        _take_deferral(step, plan, before, after, standing)
    if standing.phase is PlanPhase.OVER and not step.s.is_ended:
        _take_revocation(step, plan, standing)
    _take_refunds(step, plan, standing.refunds)


def _take_revocation(step: Step, plan: PlanState, standing: PlanStanding) -> None:
    """The whole of it is over, although some item was to give access for longer: it was revoked."""
    if any(_had_time(one, step.now) for one in plan.items):
        step.emit(EventType.REVOKED, because=standing.because, command_id=asked_by(step, "revoke", "refund"))


def base_of(plan: PlanState, standing: PlanStanding, agreed: str) -> str | None:
    """The product that the others are added to. The provider does not say: the one known, else the one asked for.

    `agreed`: the base item of the terms.
    """
    renewing = [one.product_id for one in standing.items if one.is_renewing]
    known = (plan.base or agreed, plan.wanted_base)
    listed = [one.product_id for one in standing.items]
    return next((one for one in (*known, *renewing) if one in renewing), None) or next(
        (one for one in (*known, *listed) if one in listed), plan.base
    )


# --- items -----------------------------------------------------------------------------------------


def _take_items(
    step: Step,
    plan: PlanState,
    before: Mapping[str, ItemStanding],
    after: Mapping[str, ItemStanding],
    phase: PlanPhase,
) -> None:
    had = {name for name, item in before.items() if not _is_gone(item, plan.phase)}
    has = [name for name, item in after.items() if not _is_gone(item, phase)]
    added = [name for name in after if name not in before]
    gone = [name for name in before if name in had and name not in has]
    is_open = phase in (PlanPhase.ACTIVE, PlanPhase.GRACE) and not plan.is_replaced
    revoked = [name for name in gone if is_open and _had_time(before[name], step.now)]
    left = [name for name in has if name in before and before[name].is_renewing and not after[name].is_renewing]
    ending = left if phase in _LIVE else []
    for name in revoked:
        command_id = asked_by(step, "revoke")
        step.emit(EventType.REVOKED, because="an item was revoked", item=name, command_id=command_id)
    removed = [name for name in gone if name not in revoked]
    kept = [name for name in has if name in had and after[name].is_renewing and not before[name].is_renewing]
    is_restored = plan.phase is PlanPhase.ENDING
    if added or removed or ending or (kept and not is_restored):
        step.emit(
            EventType.ITEMS_CHANGED,
            items=[_shown(after[name]) for name in has],
            added=added,
            removed=removed,
            ending=ending,
            because=BY_CUSTOMER if plan.is_replaced else AT_PROVIDER,
        )


def _is_gone(item: ItemStanding, phase: PlanPhase | None) -> bool:
    """Whether it gives nothing any more. One that renews comes back, and so does everything after a hold."""
    return not item.is_renewing and item.until is None and phase not in _CLOSED


def _had_time(item: ItemStanding, now: datetime) -> bool:
    return item.until is not None and item.until > now


def _shown(item: ItemStanding) -> dict[str, Any]:
    return {"product_id": item.product_id, "until": _iso(item.until), "renews": item.is_renewing}


def _take_deferral(
    step: Step,
    plan: PlanState,
    before: Mapping[str, ItemStanding],
    after: Mapping[str, ItemStanding],
    standing: PlanStanding,
) -> None:
    """What goes on ends later, by the same whole days, before its time was over and without a new order."""
    if plan.is_replaced or (plan.phase, standing.phase) != (PlanPhase.ACTIVE, PlanPhase.ACTIVE):
        return
    shifts = set[timedelta]()
    for name, old in before.items():
        if not (old.is_renewing or old.is_prepaid):
            continue
        new = after.get(name)
        if new is None or old.until is None or new.until is None or old.until <= step.now:
            return
        if old.order_id != new.order_id:
            return
        shifts.add(new.until - old.until)
    shift = min(shifts, default=timedelta(0))
    if len(shifts) > 1 or shift < _A_DAY or not standing.next_due:
        return
    step.emit(EventType.DEFERRED, days=round(shift / _A_DAY), next_due_at=min(standing.next_due).isoformat())


# --- prices ----------------------------------------------------------------------------------------


def _take_prices(step: Step, before: Mapping[str, ItemStanding], after: Mapping[str, ItemStanding]) -> None:
    """One event for all products whose change stands alike and is charged at the same instant."""
    told: dict[tuple[PriceChangeState, datetime | None], list[dict[str, Any]]] = {}
    for name, item in after.items():
        old = before.get(name)
        was = old.price_change if old is not None else None
        for change in _news(was, _stated(was, item)):
            old_amount = old.amount if old is not None and old.amount is not None else item.amount
            told.setdefault((change.state, change.charge_at), []).append(
                {
                    "product_id": name,
                    "old_amount": old_amount if old_amount != change.new_amount else None,
                    "new_amount": change.new_amount,
                    "currency": item.currency or step.s.terms.currency,
                    "kind": _KINDS[change.mode],
                }
            )
    for (state, charge_at), rows in told.items():
        event = _EVENTS.get(state, EventType.PRICE_CHANGE_PENDING)
        if state is PriceChangeState.CONFIRMED and not _was_waiting(before, rows):
            event = EventType.PRICE_CHANGE_PENDING  # nobody had to agree
        step.emit(event, state=state.value.lower(), charge_at=_iso(charge_at), items=rows)


def _stated(was: PriceStanding | None, item: ItemStanding) -> PriceStanding | None:
    """Where the change stands. One that is told of no more, while the new price is charged, was applied."""
    if item.price_change is None and was is not None and was.is_open and item.amount == was.new_amount:
        return was.but(state=PriceChangeState.APPLIED)
    return item.price_change


def _news(was: PriceStanding | None, now: PriceStanding | None) -> tuple[PriceStanding, ...]:
    """What is to be told of one item: the older change that is off, and the newer one."""
    if now == was:
        return ()
    is_same = was is not None and now is not None and (was.new_amount, was.mode) == (now.new_amount, now.mode)
    lost = (was.but(state=PriceChangeState.CANCELED),) if was is not None and was.is_open and not is_same else ()
    is_news = now is not None and (now.is_open or (was is not None and was.is_open and is_same))
    return (*lost, now) if now is not None and is_news else lost


def _was_waiting(before: Mapping[str, ItemStanding], rows: Iterable[Mapping[str, Any]]) -> bool:
    changes = [before[row["product_id"]].price_change for row in rows if row["product_id"] in before]
    return any(one is not None and one.needs_consent for one in changes)


# --- refunds ---------------------------------------------------------------------------------------


def _take_refunds(step: Step, plan: PlanState, refunds: tuple[RefundStanding, ...]) -> None:
    """Each part of an order that was given back since it was read last. Before the first reading: history."""
    is_first = plan.phase is None
    known = {one.order_id: one for one in plan.refunded}
    for one in refunds:
        was = known.get(one.order_id)
        if was is not None and was.amount >= one.amount:
            continue
        known.pop(one.order_id, None)
        known[one.order_id] = one
        if not is_first:
            _tell_refund(step, one, was)
    kept = tuple(known.values())[-MAX_REFUNDED:]
    if kept != plan.refunded:
        step.set(plan=(step.s.plan or plan).but(refunded=kept))


def _tell_refund(step: Step, now: RefundStanding, was: RefundStanding | None) -> None:
    before = was.parts if was is not None else {}
    parts = {name: left for name, amount in now.parts.items() if (left := amount - before.get(name, 0)) > 0}
    command = _asking(step, "refund", "revoke")
    refunding.read_back(
        step,
        order=now.order_id,
        amount=now.amount - (was.amount if was is not None else 0),
        total=now.amount,
        currency=now.currency,
        at=now.at,
        parts=parts,
        command=command,
    )


def asked_by(step: Step, *names: str) -> str | None:
    """The id of the command that is being carried out at the provider, if it is one of these."""
    command = _asking(step, *names)
    return command.command_id if command is not None else None


def _asking(step: Step, *names: str) -> Command | None:
    pending = step.s.plan.change if step.s.plan is not None else None
    return pending.command if pending is not None and pending.command.name in names else None


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
