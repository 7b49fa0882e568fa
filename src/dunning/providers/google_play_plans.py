"""A purchase as a plan: state, items, and one cycle for each order that was read. Sheet G.3, G.5."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dunning.domain.books import BookRow, RowKind
from dunning.domain.plans import (
    ItemStanding,
    PlanCycleStatus,
    PlanPhase,
    PlanStatus,
    PriceStanding,
    RefundStanding,
    TryKind,
)
from dunning.domain.play_actions import CanceledBy, PlayState, ReadPurchase, access_until, has_access
from dunning.providers.base import Payment, PaymentStatus, Refund, RefundStatus
from dunning.providers.following import Plan, PlanCycle, PlanTry
from dunning.providers.google_play_books import rows_of
from dunning.providers.google_play_wire import (
    ItemPriceChange,
    WireOrder,
    WirePurchase,
    price_changes_of,
    purchase_of,
)

LOOK_AGAIN = timedelta(hours=1)
"""A purchase that is active and past its expiry is being renewed; Play says so only a little later."""
HOLD_LOOK = timedelta(days=1)
"""Play does not tell when a hold ends; it is asked so often, besides every notification."""

_PHASES = {
    PlayState.PENDING: PlanPhase.PENDING,
    PlayState.ACTIVE: PlanPhase.ACTIVE,
    PlayState.IN_GRACE_PERIOD: PlanPhase.GRACE,
    PlayState.ON_HOLD: PlanPhase.HOLD,
    PlayState.PAUSED: PlanPhase.PAUSED,
    PlayState.CANCELED: PlanPhase.ENDING,
    PlayState.EXPIRED: PlanPhase.OVER,
    PlayState.PENDING_PURCHASE_CANCELED: PlanPhase.OVER,
}
_WORDS = {
    CanceledBy.USER: "canceled by the customer in Google Play",
    CanceledBy.DEVELOPER: "canceled by the developer",
    CanceledBy.SYSTEM: "Google Play ended it: the payment was not recovered, or consent was missing",
    CanceledBy.REPLACEMENT: "another purchase has taken its place",
}
_UNPAID = frozenset({"PENDING", "CANCELED"})


def plan_of(token: str, wire: WirePurchase, orders: tuple[WireOrder, ...], at: datetime) -> Plan:
    """The purchase as it stood at `at` (business time)."""
    purchase = purchase_of(wire)
    if purchase is None:  # a state that Google added after us: nothing is concluded, it is looked at again
        because = f"unknown state {wire.subscription_state}"
        return Plan(plan_id=token, next_due=(at + HOLD_LOOK,), because=because, is_whole=False)
    if purchase.state is PlayState.EXPIRED and purchase.canceled_by is CanceledBy.REPLACEMENT:
        # The new purchase names this one, never the other way round: its notification brings the token.
        return Plan(plan_id=token, next_due=(at + LOOK_AGAIN,), because=_because(wire, purchase), is_whole=False)
    phase = _phase(wire, purchase)
    until, next_due = access_until(purchase, at), _next_due(wire, purchase, at)
    is_late = phase is PlanPhase.ACTIVE and until is None
    return Plan(
        plan_id=token,
        status=_status(phase),
        phase=phase,
        takes_place_of=wire.linked_purchase_token,
        is_by_user=purchase.canceled_by is CanceledBy.USER,
        cycles=_cycles(wire, purchase, orders),
        method_token=token,
        next_due=next_due,
        # Active and past its expiry: Play renews it just now, and says that there is access.
        access_until=at + LOOK_AGAIN if is_late else until,
        items=_items(wire, purchase, at),
        region=wire.region_code,
        refunds=refunds_of(orders),
        because=_because(wire, purchase),
        rows=tuple(row for order in orders for row in rows_of(order)),
    )


def gone(token: str, because: str) -> Plan:
    """A token that Google does not know (any more)."""
    return Plan(plan_id=token, status=PlanStatus.ENDED, phase=PlanPhase.OVER, because=because)


def refunds_of(orders: tuple[WireOrder, ...]) -> tuple[RefundStanding, ...]:
    """What was given back of these orders so far; nothing for those of which nothing was."""
    found = (_refunded(order, rows_of(order)) for order in orders)
    return tuple(one for one in found if one is not None)


def _refunded(order: WireOrder, rows: tuple[BookRow, ...]) -> RefundStanding | None:
    given = [row for row in rows if row.kind is RowKind.REFUND]
    if not given:
        return None
    parts: dict[str, int] = {}
    for row in given:
        parts[row.product_id] = parts.get(row.product_id, 0) + row.amount
    return RefundStanding(
        order_id=order.order_id,
        amount=sum(parts.values()),
        currency=given[0].currency,
        at=max(row.at for row in given),
        parts=parts,
    )


def _items(wire: WirePurchase, purchase: ReadPurchase, at: datetime) -> tuple[ItemStanding, ...]:
    changes = {one.product_id: one for one in price_changes_of(wire)}
    found = []
    for line, item in zip(wire.line_items, purchase.items, strict=True):
        change, price = changes.get(item.product_id), line.recurring_price
        found.append(
            ItemStanding(
                product_id=item.product_id,
                until=item.until if has_access(purchase, item, at) else None,
                is_renewing=item.is_renewing,
                is_prepaid=item.is_prepaid,
                base_plan_id=line.offer_details.base_plan_id if line.offer_details else None,
                amount=price.minor() if price is not None else None,
                currency=price.currency_code if price is not None else None,
                order_id=item.order_id,
                price_change=_price_change(change) if change is not None else None,
            )
        )
    return tuple(found)


def _price_change(read: ItemPriceChange) -> PriceStanding:
    at = read.charge_at
    return PriceStanding(
        mode=read.mode,
        state=read.state,
        new_amount=read.new_amount,
        charge_at=at.astimezone(UTC) if at is not None else None,
    )


def refund_of(order: WireOrder) -> Refund:
    """The one refund of an order that was given back whole."""
    read = order.read()
    is_done = order.state == "REFUNDED"
    return Refund(
        refund_id=f"{order.order_id}/refund",
        payment_id=order.order_id,
        status=RefundStatus.SUCCEEDED if is_done else RefundStatus.PENDING,
        amount=read.total,
        currency=read.currency,
        created_at=(order.last_event_time or order.create_time).astimezone(UTC),
    )


def _phase(wire: WirePurchase, purchase: ReadPurchase) -> PlanPhase:
    return PlanPhase.ENDING if purchase.state is PlayState.ACTIVE and _is_leaving(wire) else _PHASES[purchase.state]


def _is_leaving(wire: WirePurchase) -> bool:
    """Whether the customer canceled and instalments run on first; Play calls that active."""
    plans = [line.auto_renewing_plan for line in wire.line_items if line.auto_renewing_plan is not None]
    held = [one.installment_details for one in plans if one.installment_details is not None]
    return any(one.pending_cancellation is not None for one in held)


def _status(phase: PlanPhase) -> PlanStatus:
    if phase is PlanPhase.PENDING:
        return PlanStatus.PENDING
    return PlanStatus.ENDED if phase is PlanPhase.OVER else PlanStatus.ACTIVE


def _because(wire: WirePurchase, purchase: ReadPurchase) -> str:
    if purchase.canceled_by is not None:
        return _WORDS[purchase.canceled_by]
    if _is_leaving(wire):
        return "canceled by the customer; the instalments run on to the end of the commitment"
    return f"Google Play: {purchase.state.value}"


def _next_due(wire: WirePurchase, purchase: ReadPurchase, at: datetime) -> tuple[datetime, ...]:
    """When Play has something to tell: the next expiry, the end of a pause; on hold it does not say."""
    if purchase.state in (PlayState.ON_HOLD, PlayState.PENDING):
        return (at + HOLD_LOOK,)
    if purchase.state is PlayState.PAUSED:
        resumes = wire.paused_state_context.auto_resume_time if wire.paused_state_context else None
        return (resumes.astimezone(UTC) if resumes else at + HOLD_LOOK,)
    coming = sorted({item.until for item in purchase.items if item.until is not None and item.until > at})
    if purchase.state in (PlayState.EXPIRED, PlayState.PENDING_PURCHASE_CANCELED):
        return ()
    return tuple(coming) or (at + LOOK_AGAIN,)


def _cycles(wire: WirePurchase, purchase: ReadPurchase, orders: tuple[WireOrder, ...]) -> tuple[PlanCycle, ...]:
    found = [_cycle(order, wire, purchase) for order in sorted(orders, key=lambda one: one.create_time)]
    return tuple(one for one in found if one is not None)


def _cycle(order: WireOrder, wire: WirePurchase, purchase: ReadPurchase) -> PlanCycle | None:
    read = order.read()
    is_pending = order.order_id == wire.pending_order_id
    if (order.state in _UNPAID and not is_pending) or (read.total == 0 and not is_pending):
        return None
    payment = Payment(
        payment_id=order.order_id,
        status=PaymentStatus.FAILED if is_pending else PaymentStatus.SUCCEEDED,
        amount=read.total,
        currency=read.currency,
        code_field="subscription_state",
        code=purchase.state.value if is_pending else None,
        created_at=read.created_at,
    )
    tried = PlanTry(number=1, kind=TryKind.DUE, at=read.created_at, payment=payment)
    return PlanCycle(
        cycle_id=order.order_id,
        due_at=read.created_at,
        status=PlanCycleStatus.RETRYING if is_pending else PlanCycleStatus.PAID,
        amount=read.total,
        currency=read.currency,
        tries=(tried,),
    )
