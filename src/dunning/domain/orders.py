"""What an order is: a payment that was made, and whether it can be given back. SPEC 8, 9.

The ledger decides how much is left of a payment; what the state still holds is judged here, before anything is
asked.
"""

from __future__ import annotations

from datetime import datetime

from dunning.domain.attempts import Attempt, OutcomeKind
from dunning.domain.commands import Refund, Revoke, RevokeType
from dunning.domain.state import Obligation, State
from dunning.domain.tables import UNSETTLED_CYCLE, CycleStatus
from dunning.domain.terms import Item


def ordered(state: State, order: str) -> Obligation | None:
    """The obligation that an order names, if the state still holds it; else the ledger has to know it.

    An order is a payment's id at the provider, an attempt's key, a cycle's number, or a charge's obligation.
    """
    for obligation in state.obligations:
        payments = [a.outcome.provider_payment_id for a in obligation.attempts if a.outcome is not None]
        if order in (obligation.id, obligation.paid_by, *payments, *(a.key for a in obligation.attempts)):
            return obligation
    return None


def is_on_its_way(state: State, order: str) -> bool:
    """Whether what would be given back is not settled yet."""
    obligation = ordered(state, order)
    return obligation is not None and (obligation.status in UNSETTLED_CYCLE or obligation.in_flight is not None)


def paying(obligation: Obligation) -> Attempt | None:
    """The attempt that collected it."""
    paid = [a for a in obligation.attempts if a.outcome is not None and a.outcome.kind is OutcomeKind.SUCCEEDED]
    return paid[-1] if paid else None


def payment_id(obligation: Obligation) -> str | None:
    """The provider's id of the payment that paid it."""
    attempt = paying(obligation)
    if attempt is None or attempt.outcome is None:
        return obligation.paid_by
    return attempt.outcome.provider_payment_id or obligation.paid_by


def running(state: State, now: datetime) -> Obligation | None:
    """The paid cycle whose period is running, the latest one."""
    paid = [o for o in state.obligations if o.is_cycle and o.status is CycleStatus.SUCCEEDED]
    return next((o for o in reversed(paid) if o.period_end is not None and o.period_end > now), None)


def cost(item: Item) -> int:
    """What an item costs for one period, minor units."""
    return item.quantity * item.unit_amount


def refuse_refund(state: State, command: Refund) -> str | None:
    """Why a refund is not made; None when it may be tried. What the state does not hold, the ledger judges."""
    obligation = ordered(state, command.order)
    if command.order in state.disputed:
        return "the payment is disputed: the customer's bank decides about the money"
    if obligation is None or is_on_its_way(state, command.order):
        return None
    if payment_id(obligation) in state.disputed:
        return "the payment is disputed: the customer's bank decides about the money"
    if paying(obligation) is None and obligation.paid_by is None:
        return f"order {command.order} was not paid"
    left = obligation.amount - obligation.refunded
    if left <= 0:
        return f"order {command.order} was given back already"
    if command.amount is not None and command.amount > left:
        return f"amount: at most {left} is left to give back, was {command.amount}"
    return None


def refuse_revoke(state: State, command: Revoke, now: datetime) -> str | None:
    """Why access is not ended by this command; None when it may be."""
    if command.type is not RevokeType.ITEM:
        return None if command.item is None else "item: is given with type ITEM only"
    if command.item is None:
        return "item: which one is to be given back"
    if state.plan is not None and state.plan.phase is not None:
        return None  # the provider knows the items, and why not: it is read before it is asked
    item = next((i for i in state.terms.items if i.product_id == command.item), None)
    if item is None:
        return f"item: {command.item} is not one of this subscription's"
    if state.past_due_since is not None:
        return "a payment is declined: an item can be given back when nothing is owed"
    if state.plan is not None and len(state.terms.items) > 1:
        return "item: the provider's plan charges one amount for all items"
    if item.role == "base" and len(state.terms.items) > 1:
        return "item: the base item goes with the whole subscription (type FULL or PRORATED)"
    paid = running(state, now)
    if paid is not None and paid.amount != state.terms.amount and len(state.terms.items) > 1:
        # Items came or went since it was paid: what it holds of this one is not known, and nothing is no answer.
        return "item: was not paid as one of today's items: give back an amount (refund), and remove it (change_items)"
    return None
